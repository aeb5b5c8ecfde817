"""The answer to a file that people edit: what was taken of it, and what was not and why.

It is beside the file, as `NAME.report`. It is written whole or not at all, and only when it says
something else than the present one.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

SUFFIX = ".report"
_LINE = re.compile(r"line \d+")
_WOULD_BE, _NAMED = re.compile("would be `([^`]*)`"), re.compile("`([^`]*)`")
_LINES = 1_000  # in each part; a report is for reading


@dataclass(slots=True, kw_only=True)
class Answer:
    """What became of one reading. `what` is what the file has in its lines: rows, or names."""

    what: str
    taken: list[tuple[int, str]] = field(default_factory=list)  # line and key
    refused: list[str] = field(default_factory=list)  # beginning with the line
    skipped: int = 0  # lines with too few fields, in a file whose columns are declared
    removed: Sequence[str] = ()  # keys that had a line, and have none now
    is_partial: bool = False  # not all that could be taken was: there may be no room for more

    @property
    def n_refused(self) -> int:
        """How many lines were refused; several of a line's cells may be at fault."""
        found = ((_LINE.match(message), message) for message in self.refused)
        return len({line[0] if line else message for line, message in found})

    def contradict(self, messages: Sequence[str]) -> None:
        """These lines looked good, and yet were not taken as they are."""
        lines = {key: line for line, key in self.taken}
        bad = set()
        for message in messages:
            found = _WOULD_BE.search(message) or _NAMED.search(message)
            key = found[1] if found is not None else ""
            bad.add(key)
            self.refused.append(f"line {lines[key]}: {message}" if key in lines else message)
        self.taken = [(line, key) for line, key in self.taken if key not in bad]

    def text(self, *, name: str, saved_s: float) -> str:
        """Return the whole report for the file, as it was saved at `saved_s`."""
        saved = datetime.fromtimestamp(saved_s).astimezone()
        good = "good" if self.is_partial else "taken"
        counts = f"{len(self.taken):,} {good}, {self.n_refused:,} refused"
        if self.skipped:
            counts += f", {self.skipped:,} with too few fields skipped"
        if self.removed:
            counts += f", {len(self.removed):,} removed"
        parts = [f"{name}, as saved on {saved:%Y-%m-%d at %H:%M:%S}: {counts}\n"]
        parts += _part("Refused. Put these right and save the file:", self.refused)
        parts += _part(
            f"Removed from the {what_of(self.what)}, and kept by Stoker with their results. "
            "`stoker cancel` gives up what is not done yet, `stoker prune` forgets it:",
            self.removed,
        )
        parts += _part(
            "Good, and not all taken yet:" if self.is_partial else "Taken:",
            [f"line {line}: {key}" for line, key in self.taken[:_LINES]],
            of=len(self.taken),
        )
        return "\n".join(parts)


def what_of(what: str) -> str:
    """Return what a file with such lines is called."""
    return {"row": "table"}.get(what, "list")


def _part(title: str, lines: Sequence[str], *, of: int | None = None) -> Iterator[str]:
    if not lines:
        return
    shown = [f"  {line}" for line in lines[:_LINES]]
    more = (of or len(lines)) - len(shown)
    if more > 0:
        shown.append(f"  … and {more:,} more")
    yield "\n".join([title, *shown, ""])


def write_report(path: str, text: str) -> None:
    """The file at `path` says `text`; it is not touched if it does so already. OSError otherwise."""
    content = text.encode("utf-8", "backslashreplace")
    with suppress(OSError):
        if Path(path).read_bytes() == content:
            return
    folder, name = os.path.split(path)
    descriptor, made = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=folder or ".")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(content)
        os.replace(made, path)
    except OSError:
        with suppress(OSError):
            Path(made).unlink()
        raise
