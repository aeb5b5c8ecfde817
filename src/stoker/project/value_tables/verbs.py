"""`project.values`: parameters and values of items as rows, and as a file."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from stoker.errors import UserError
from stoker.model.selection import Selection
from stoker.project.opened import Opened
from stoker.project.value_tables.writing import Wanted, gathered, write_out
from stoker.project.verbs.narrowing import Narrowing, StepNarrowing, select
from stoker.spec.value_tables import parse_columns

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline


class Values:
    """What the steps of a project's items have left, as tables (rule D).

    Calling it returns the rows, which `pandas.DataFrame` and `polars.DataFrame` take as they are.
    """

    def __init__(self, project: Opened) -> None:
        self._project = project

    def __call__(
        self,
        pipeline: str,
        *keys: str,
        columns: Sequence[str] = (),
        selection: Selection | None = None,
        **narrow: Unpack[StepNarrowing],
    ) -> list[dict[str, Any]]:
        """Return a row for each item whose named steps are done, by key, with a value per column.

        Columns are named as in `[pipelines.P.tables]`; by default the key, all parameters, all values.
        """
        return list(self.each(pipeline, *keys, columns=columns, selection=selection, **narrow))

    def each(
        self,
        pipeline: str,
        *keys: str,
        columns: Sequence[str] = (),
        selection: Selection | None = None,
        **narrow: Unpack[StepNarrowing],
    ) -> Iterator[dict[str, Any]]:
        """Yield the same rows one by one; all of them are of one state of the store."""
        wanted = self._wanted(pipeline, keys, columns, selection, narrow)
        with gathered(self._project.store, wanted) as found:
            names = found.columns.names
            for page in found.pages():
                for row in page:
                    yield dict(zip(names, row, strict=True))

    def write(
        self,
        pipeline: str,
        *keys: str,
        out: str,
        columns: Sequence[str] = (),
        selection: Selection | None = None,
        **narrow: Unpack[StepNarrowing],
    ) -> int:
        """The rows are in the file `out`, in the format of its suffix; return how many.

        A file that is there is replaced from one moment to the next. `-` is CSV on standard output.
        """
        wanted = self._wanted(pipeline, keys, columns, selection, narrow)
        return write_out(self._project.store, wanted, out)

    def _wanted(
        self,
        pipeline: str,
        keys: Sequence[str],
        columns: Sequence[str],
        selection: Selection | None,
        narrow: StepNarrowing,
    ) -> Wanted:
        spec = self._spec(pipeline)
        if isinstance(columns, str):
            raise UserError("`columns` is a list of names")
        chosen = select(keys, selection, Narrowing(pipeline=None, **narrow))
        if chosen.pipeline not in (None, pipeline):
            raise UserError(f"`{pipeline}` and `{chosen.pipeline}`: name one pipeline")
        return Wanted(
            pipeline=spec,
            columns=parse_columns(",".join(columns), spec) if columns else (),
            selection=None if chosen.is_everything else chosen,
        )

    def _spec(self, pipeline: str) -> "Pipeline":
        """Return the pipeline as the store has it, else as the file does."""
        from stoker.store.reports.written_tables import current_pipeline

        return current_pipeline(self._project.store, pipeline) or self._project.pipeline(pipeline)
