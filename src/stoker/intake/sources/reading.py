"""One reading of a file that people edit: the items in its lines, and the answer to its author."""

import io
import os
from collections.abc import Iterator, Sequence

from stoker.intake import decoding
from stoker.intake.listed_names import listed_items
from stoker.intake.pushed import Listing
from stoker.intake.report_file import Answer
from stoker.intake.sources.source import Find, Refusal
from stoker.intake.table import Table
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline
from stoker.model.source import TableForm


class Reading:
    """One reading of one file; `answer` fills up while the items are taken.

    `key_title` is the column that names the items: as it was before, wherever it is now.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        path: str,
        *,
        name: str,
        what: str,
        project_folder: str,
        form: TableForm,
        key_title: str | None = None,
    ) -> None:
        self.answer = Answer(what=what)
        self.key_title = key_title
        self._form = form
        self._name = name
        self._path = path
        self._told: list[str] = []  # refusals that were not yielded yet
        self._known: dict[str, None] = {}  # all refusals, in their order
        self._listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=self._refuse,
            priority=pipeline.priority,
        )

    def finds(self, content: bytes) -> Iterator[Find]:
        """Yield the items in the file's `content`, and what is refused. UserError for all of it."""
        folder = os.path.dirname(self._path)
        if self.answer.what == "row":
            items = self._rows(content, folder)
        else:
            names = decoding.numbered_in(content, name=self._name)
            items = listed_items(
                self._listing, names, name=self._name, folder=folder, on_row=self._take
            )
        for item in items:
            yield from self._refusals()
            yield item
        yield from self._refusals()

    def _rows(self, content: bytes, folder: str) -> Iterator[NewItem]:
        table = Table(
            self._listing,
            io.BytesIO(content),
            name=self._name,
            folder=folder,
            form=self._form,
            key_title=self.key_title,
        )
        self.key_title = table.key_title
        for line, item in table.items():
            self._take(line, item)
            yield item
        self.answer.skipped = table.skipped

    @property
    def refused(self) -> tuple[str, ...]:
        """What was refused so far, one message for each mistake."""
        return tuple(self._known)

    def refuse_all(self, trouble: str) -> None:
        """Nothing can be read of the file."""
        self._known[trouble] = None
        self.answer.refused.append(trouble.removeprefix(f"the table `{self._name}`, "))

    def add_conflicts(self, messages: Sequence[str]) -> None:
        """Add to the answer what registering had to say of its lines."""
        self.answer.contradict([message for message in messages if message not in self._known])

    def _take(self, line: int, item: NewItem) -> None:
        self.answer.taken.append((line, item.key))

    def _refuse(self, message: str) -> None:
        self._told.append(message)
        self._known[message] = None
        self.answer.refused.append(message.removeprefix(f"`{self._name}`, "))

    def _refusals(self) -> Iterator[Refusal]:
        for message in self._told:
            yield Refusal(message=message)
        self._told.clear()
