"""Comparing outputs with their records: whether they exist, and hold what was published."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from stoker.model.encoding import Answer
from stoker.project.parts import Part
from stoker.project.verbs.narrowing import Narrowing, select
from stoker.store.orders import verifying
from stoker.work.measure import NotPlain, measure, parts_in
from stoker.work.permit import no_limit

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.project.opened import Opened
    from stoker.store.orders.verifying import Id, Recorded

AT_ONCE = 200  # outputs between two records of what is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputProblem(Answer):
    """An output that is not as its record says.

    `problem` is `missing`, `size`, `checksum`, `kind` (neither a file nor a folder) or `unreadable`;
    `text` says it in words.
    """

    pipeline: str
    item: str
    step: str
    name: str
    path: str
    problem: str
    text: str


class Verification:
    """One comparison; iterate over it for its problems, and read `outputs` and `missing` afterwards."""

    def __init__(
        self, project: "Opened", selections: "Iterator[Selection]", *, checksum: bool, dry_run: bool
    ) -> None:
        self.outputs = 0
        self.missing = 0
        self._project = project
        self._selections = selections
        self._with_checksum = checksum
        self._dry_run = dry_run

    def __iter__(self) -> Iterator[OutputProblem]:
        """Yield each problem. The store knows what is missing of all that was looked at before."""
        store = self._project.store
        for selection in self._selections:
            for some in verifying.recorded(store, selection):
                for at in range(0, len(some), AT_ONCE):
                    yield from self._of(some[at : at + AT_ONCE])

    def _of(self, some: "list[Recorded]") -> Iterator[OutputProblem]:
        missing: set[Id] = set()
        found = []
        for one in some:
            problem = _problem(one, with_checksum=self._with_checksum)
            if problem is None:
                continue
            if problem[0] == "missing":
                missing.add(one.id)
            found.append(
                OutputProblem(
                    pipeline=one.pipeline,
                    item=one.item,
                    step=one.step,
                    name=one.id[1],
                    path=one.path,
                    problem=problem[0],
                    text=problem[1],
                )
            )
        self.outputs += len(some)
        self.missing += len(missing)
        if not self._dry_run:
            verifying.note(self._project.store, [one.id for one in some], missing)
        yield from found


class Verify(Part):
    """The verb that compares outputs with their records; call it."""

    def __call__(
        self,
        *keys: str,
        selection: "Selection | None" = None,
        from_file: str | None = None,
        nul: bool = False,
        checksum: bool = False,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> Verification:
        """Return a comparison of the selected tasks' outputs with what was recorded of them.

        Only done tasks, and files at this site. Sizes are compared, with `checksum` the contents too.
        Unless `dry_run`, the store remembers which are missing: see `Status.missing` and `rerun`.
        """
        chosen = select(keys, selection, narrow)
        if from_file is None:
            selections = iter([chosen])
        else:
            from stoker.project.verbs.key_lists import read_list

            found = read_list(self._project.store, chosen, name=from_file, nul=nul)
            selections = found.selections(chosen)
        return Verification(self._project, selections, checksum=checksum, dry_run=dry_run)


def _problem(one: "Recorded", *, with_checksum: bool) -> tuple[str, str] | None:
    """Return what is wrong with an output, as a word and in words; None if nothing is."""
    path = os.path.realpath(one.path)  # a link to an archive is as good as the file
    try:
        size_bytes, checksum = _looked(path, with_checksum=with_checksum)
    except (FileNotFoundError, NotADirectoryError):
        return "missing", "does not exist"
    except NotPlain as error:
        return "kind", f"is not as published: {error}"
    except OSError as error:
        return "unreadable", f"cannot be read: {error.strerror}"
    if size_bytes != one.size_bytes:
        return "size", f"has {size_bytes:,} bytes; {one.size_bytes:,} were published"
    if checksum not in (None, one.checksum):
        return "checksum", "has the size that was published, but other content"
    return None


def _looked(path: str, *, with_checksum: bool) -> tuple[int, str | None]:
    """Return the size of a file or folder, and its checksum where that is wanted."""
    found = os.stat(path)
    if with_checksum:
        content = measure(path)
        return content.size_bytes, content.checksum
    if not stat.S_ISDIR(found.st_mode):
        if not stat.S_ISREG(found.st_mode):
            measure(path)  # raises NotPlain, which names what it is
        return found.st_size, None
    total = 0
    for part in parts_in(path, no_limit):
        with suppress(FileNotFoundError):
            if stat.S_ISREG(part.found.st_mode):
                total += part.found.st_size
    return total, None
