"""Owns the lists of a group's members: files beside the scratch that a step of the group reads.

Written in pages for each attempt, and wiped with the rest of its seat. However many members there
are, a command line stays short, and no page is kept.
"""

import csv
import itertools
import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from stoker.errors import UserError
from stoker.model.member import Member
from stoker.spec import member_names

if TYPE_CHECKING:
    from stoker.model.task import Claimed

MembersOf = Callable[["Claimed", str], Sequence[Member]]  # the next page, after a key


def write(
    members_of: MembersOf,
    claimed: "Claimed",
    lists: Sequence[tuple[str, str]],
    *,
    scratch: str,
    mode: int,
) -> None:
    """The members of the group, and these lists of outputs or values of a step, are in files.

    UserError where a path cannot stand in a list of lines, and where no member is left: a step that
    read an empty list would replace a result by nothing.
    """
    whole = member_names.file_of(scratch, member_names.ALL)
    os.makedirs(os.path.dirname(whole), mode=mode, exist_ok=True)
    wanted = [
        _Values(step) if output == member_names.VALUES else _Paths(step, output)
        for step, output in lists
    ]
    with ExitStack() as stack:
        file = stack.enter_context(_open(whole))
        for one, (step, output) in zip(wanted, lists, strict=True):
            name = f"{member_names.ALL}.{step}.{output}"
            one.file = stack.enter_context(_open(member_names.file_of(scratch, name)))
        pages = _pages(members_of, claimed)
        first = next(pages, None)
        if first is None:
            raise UserError(
                "none of the group's members is in the store any more: they were pruned, or belong to "
                "other groups since `group_by` or `where` changed; its earlier result stays as it is"
            )
        for page in itertools.chain((first,), pages):
            file.writelines(map(_as_line, page))
            for one in wanted:
                one.add(page)
        for one in wanted:
            one.end()


def _open(path: str) -> TextIO:
    return Path(path).open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _pages(members_of: MembersOf, claimed: "Claimed") -> Iterator[Sequence[Member]]:
    after = ""
    while page := members_of(claimed, after):
        yield page
        after = page[-1].key


def _as_line(member: Member) -> str:
    outputs = {
        step: {
            name: [
                {"path": one.path, "size_bytes": one.size_bytes, "checksum": one.checksum}
                for one in several
                if not one.removed
            ]
            for name, several in of_step.items()
        }
        for step, of_step in member.outputs.items()
    }
    packed: dict[str, Any] = {}
    if member.pack is not None:
        files = [
            {
                "output": f"{one.step}.{one.name}",
                "path": one.path,
                "size_bytes": one.size_bytes,
                "checksum": one.checksum,
                "removed": one.removed,
            }
            for one in member.pack
        ]
        packed = {"pack": files, "superseded": member.superseded}
    return _encode(
        {
            "key": member.key,
            "state": member.state,
            "meta": member.meta,
            "params": member.params,
            "values": member.values,
            "outputs": outputs,
            "reason": member.reason,
            **packed,
        }
    ) + "\n"  # fmt: skip


# What comes from the store has no circles, and a search for them takes an eighth of the time.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class _Paths:
    """The list of the paths of one output, one a line."""

    file: TextIO

    def __init__(self, step: str, output: str) -> None:
        self._step = step
        self._output = output

    def add(self, members: Sequence[Member]) -> None:
        """Append what these members left."""
        for member in members:
            for one in member.outputs.get(self._step, _NOTHING).get(self._output, ()):
                if one.removed:
                    raise UserError(
                        f"the output `{self._output}` of step `{self._step}` of `{member.key}` was "
                        f"temporary and is deleted; `stoker rerun {shlex.quote(member.key)} --step "
                        f"{self._step}` makes it again, and the group follows"
                    )
                if "\n" in one.path or "\r" in one.path:
                    raise UserError(
                        f"an output of `{member.key}` has a line end in its path, so it cannot stand "
                        f"in `{{members.{self._step}.{self._output}}}`; read it from `{{members}}`"
                    )
                self.file.write(f"{one.path}\n")

    def end(self) -> None:
        """All members were added."""


class _Values:
    """The table of the values of one step, a row for each member that left any.

    The columns are those of all members; what one does not have is empty.
    """

    file: TextIO

    def __init__(self, step: str) -> None:
        self._step = step
        self._columns: dict[str, None] = {}
        self._rows: list[tuple[str, Mapping[str, Any]]] = []

    def add(self, members: Sequence[Member]) -> None:
        """Keep the values of these members."""
        for member in members:
            values = member.values.get(self._step, _NOTHING)
            self._columns.update(dict.fromkeys(values))
            self._rows.append((member.key, values))

    def end(self) -> None:
        """Write the table."""
        writer = csv.writer(self.file)
        writer.writerow(["key", *self._columns])
        for key, values in self._rows:
            writer.writerow([key, *(_cell(values.get(name)) for name in self._columns)])


_NOTHING: Mapping[str, Any] = {}


def _cell(value: Any) -> Any:
    """Return a value as a table has it: lists and tables as JSON, nothing as an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _encode(value) if isinstance(value, list | dict) else value
