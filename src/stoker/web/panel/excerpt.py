"""The last lines of what an attempt wrote: of logs of any size, and of whatever is in them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.errors import NotFound
from stoker.model.words import visible, without_terminal
from stoker.project.log_reading import read_log

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.rows import AttemptRow

LINES, BYTES = 20, 1 << 15
LINE = 2_000  # characters of a line that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The end of a stream. `trouble` says why it cannot be shown; `is_cut`: there is more before."""

    attempt: str
    stream: str
    lines: tuple[str, ...] = ()
    is_cut: bool = False
    size_bytes: int = 0
    trouble: str | None = None


def excerpt(project: "Project", attempt: "AttemptRow") -> Excerpt:
    """Return the last lines of the attempt's `stderr`, or of `stdout` where that is empty."""
    stream = "stderr" if attempt.stderr.size_bytes or not attempt.stdout.size_bytes else "stdout"
    try:
        piece = read_log(project, attempt.id, stream, start=-BYTES, most=BYTES)
    except NotFound as error:
        return Excerpt(attempt=attempt.id, stream=stream, trouble=str(error))
    except OSError as error:
        said = f"it cannot be read: {error.strerror}"
        return Excerpt(attempt=attempt.id, stream=stream, trouble=said)
    lines = readable(piece.content)
    is_cut = piece.start > 0 or len(lines) > LINES
    return Excerpt(
        attempt=attempt.id,
        stream=stream,
        lines=tuple(lines[-LINES:]),
        is_cut=is_cut,
        size_bytes=piece.size_bytes,
    )


def readable(content: bytes) -> list[str]:
    """Return the lines of a log as a page shows them.

    Of a line that was written over and over (a bar of progress) the last state is shown; the
    terminal's commands are left out; other control characters and bytes that are not UTF-8 are
    visible.
    """
    text = content.decode("utf-8", "backslashreplace")
    lines = []
    for raw in text.split("\n"):
        states = [one for one in raw.rstrip("\r").split("\r") if one]
        line = without_terminal(states[-1]) if states else ""
        line = visible(line.replace("\t", "    ")).rstrip()
        lines.append(line if len(line) <= LINE else f"{line[:LINE]} … ({len(line):,} characters)")
    while lines and not lines[-1]:
        lines.pop()
    return lines
