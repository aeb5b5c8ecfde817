"""Where an item's error folder is (rule E): its template compiled, and what is wrong with one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.pipeline import ErrorFolder, Output
from stoker.spec import targets
from stoker.spec.locations import absolute
from stoker.spec.names import Place
from stoker.spec.parts import Literal, Placeholder, parse
from stoker.spec.template import Compiler

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.spec.locate import Path
    from stoker.spec.result_keys import ErrorFolderTable
    from stoker.spec.validate import Findings
    from stoker.spec.values import Context

NAME = "error_folder"  # what it is called among outputs
_TELLS_ITEMS_APART = frozenset({"key", "item"})


class ErrorFolderPlan:
    """The error folder of one pipeline, ready to be placed for one item after another."""

    __slots__ = ("_folder", "_output", "_parts", "spec")

    def __init__(self, pipeline: Pipeline, spec: ErrorFolder) -> None:
        compiler = Compiler(pipeline, None)
        text = compiler.text((NAME,), spec.to, Place.ERROR_FOLDER)
        if compiler.findings:
            listed = "; ".join(finding.message for finding in compiler.findings)
            raise UserError(f"`error_folder` of pipeline `{pipeline.name}`: {listed}")
        self.spec = spec
        self._parts = text.parts
        self._folder = pipeline.folder
        self._output = Output(name=NAME, to=f"{spec.to.rstrip('/')}/")

    def path(self, context: Context) -> str:
        """Return where the item's folder is: an absolute path without a trailing slash.

        UserError where a value from outside would lead out of the folder that it is to stay in, or
        the item lacks one.
        """
        return targets.render(self._output, self._parts, context, self._folder).rstrip("/")


def compile_error_folder(pipeline: Pipeline) -> ErrorFolderPlan | None:
    """Return the plan of a pipeline's error folder; None where it has none."""
    spec = pipeline.error_folder
    return None if spec is None else ErrorFolderPlan(pipeline, spec)


def fixed_part(pipeline: Pipeline, spec: ErrorFolder) -> str:
    """Return the folder that holds the error folders of all items: what is the same for each."""
    first = next(iter(parse(spec.to)), None)
    text = first.text if isinstance(first, Literal) else ""
    return absolute(
        text.rpartition("/")[0] or ("/" if text.startswith("/") else "."), pipeline.folder
    )


def build_error_folder(
    table: ErrorFolderTable | None, path: Path, findings: Findings
) -> ErrorFolder | None:
    """Return the error folder as the file has it, with what is wrong with it reported."""
    if table is None:
        return None
    place = (*path, NAME)
    if not table.to:
        if not findings.has(place):
            hint = 'write `error_folder = "errors/{key}/"`'
            findings.add(place, "the error folder has no path", hint)
        return None
    for index, pick in enumerate(table.pick):
        if not pick or pick.startswith("/") or ".." in pick.split("/"):
            message = "`from` of `error_folder` must stay in the working directory"
            where = (*place, "from", index) if findings.is_at((*place, "from", index)) else place
            findings.add(where, message, 'it is a glob such as `"*.log"`')
    return ErrorFolder(to=table.to, picks=tuple(table.pick), max_size_bytes=table.max_size)


def check_error_folder(pipeline: Pipeline, path: Path, findings: Findings) -> None:
    """Report names that mean nothing, and a path that two items could have."""
    spec = pipeline.error_folder
    place = (*path, NAME)
    if spec is None or findings.has(place):
        return
    at = (*place, "to") if findings.is_at((*place, "to")) else place
    compiler = Compiler(pipeline, None)
    compiler.text((NAME,), spec.to, Place.ERROR_FOLDER)
    for finding in compiler.findings:
        findings.add(at, finding.message, finding.hint)
    if not compiler.findings and not _tells_items_apart(pipeline, spec):
        findings.add(at, "two items could have the same error folder", "put `{key}` into its path")


def _tells_items_apart(pipeline: Pipeline, spec: ErrorFolder) -> bool:
    """Whether the path holds the key, or all that the key is made of."""
    names = _names_in(spec.to)
    of_key = _names_in(pipeline.key or "")
    return bool(names & _TELLS_ITEMS_APART) or (bool(of_key) and of_key <= names)


def _names_in(template: str) -> set[str]:
    return {part.name for part in parse(template) if isinstance(part, Placeholder)}
