"""Reading what attempts write: whole, or piece by piece while it comes."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import NotFound
from stoker.project.answers import LogAnswer, LogText
from stoker.project.verbs.reading import Reading

if TYPE_CHECKING:
    from stoker.project.opened import Opened
    from stoker.store.rows import AttemptRow

STREAMS = ("stdout", "stderr")
ASK_S = 2.0  # between questions whether a followed attempt still runs


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Some bytes of a stream, from `start` on; `size_bytes` is all that there is so far.

    `is_over`: nothing more will come.
    """

    content: bytes
    start: int
    size_bytes: int
    is_over: bool


def log_answer(
    project: "Opened", attempt: "AttemptRow", streams: Collection[str] = STREAMS
) -> LogAnswer:
    """Return the attempt, and each of these streams with its text so far."""
    live = live_streams(attempt) if attempt.state == "running" else {}
    texts: dict[str, LogText] = {}
    for name, stream in Reading(project).streams(attempt.id).items():
        if name not in streams:
            continue
        path = live.get(name, stream.path)
        text = stream.text
        if path is not None:
            with suppress(OSError):
                text = Path(path).read_bytes()
        is_empty = text is None and not stream.size_bytes and attempt.state != "running"
        texts[name] = LogText(
            size_bytes=len(text) if text is not None and name in live else stream.size_bytes,
            truncated=stream.truncated,
            path=stream.path,
            text="" if is_empty else None if text is None else text.decode("utf-8", "replace"),
        )
    return LogAnswer(
        id=attempt.id,
        pipeline=attempt.pipeline,
        item=attempt.item,
        step=attempt.step,
        number=attempt.number,
        state=attempt.state,
        host=attempt.host,
        stdout=texts.get("stdout"),
        stderr=texts.get("stderr"),
    )


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A stream that many reads share: its file stays open, or its text is in memory.

    `is_over`: nothing more will come.
    """

    is_over: bool
    text: bytes = b""
    descriptor: int = -1

    @property
    def size_bytes(self) -> int:
        """Return how much there is so far."""
        return os.fstat(self.descriptor).st_size if self.descriptor >= 0 else len(self.text)

    def read(self, start: int, most: int) -> bytes:
        """Return at most that many bytes from `start` on; none at the end."""
        if self.descriptor >= 0:
            return os.pread(self.descriptor, most, start)
        return self.text[start : start + most]

    def piece(self, start: int, most: int) -> LogPiece:
        """Return the same as a piece; where `start` is negative, of the last bytes."""
        size_bytes = self.size_bytes
        start = max(0, size_bytes + start) if start < 0 else start
        return LogPiece(self.read(start, most), start, size_bytes, self.is_over)


@contextmanager
def open_log(project: "Opened", attempt: str, stream: str) -> Iterator[OpenLog]:
    """In the block, a stream of the attempt can be read. Its file is closed then.

    NotFound for a stream that is on another host, or was forgotten.
    """
    row = Reading(project).attempt(attempt)
    if row.state == "running":
        path = live_streams(row).get(stream)
        if path is None:
            if row.host not in (None, os.uname().nodename):
                raise NotFound(
                    f"attempt `{row.id}` runs on `{row.host}`, and can be followed there"
                )
            yield OpenLog(is_over=False)
            return
        with _opened(path) as descriptor:
            yield OpenLog(is_over=False, descriptor=descriptor)
        return
    kept = Reading(project).streams(row.id)[stream]
    if kept.path is not None:
        with _opened(kept.path) as descriptor:
            yield OpenLog(is_over=True, descriptor=descriptor)
        return
    if kept.text is None and kept.size_bytes:
        raise NotFound(f"what attempt `{row.id}` wrote to {stream} was forgotten since")
    yield OpenLog(is_over=True, text=kept.text or b"")


def read_log(project: "Opened", attempt: str, stream: str, *, start: int, most: int) -> LogPiece:
    """Return at most that many bytes of a stream from `start` on, or its last ones where it is negative.

    NotFound for a stream that is on another host, or was forgotten.
    """
    with open_log(project, attempt, stream) as log:
        return log.piece(start, most)


class LogTail:
    """Follows one stream of an attempt: while that runs here, from its open file alone.

    The store is asked whether it still runs every few seconds, not at every look: a service has
    hundreds of readers.
    """

    def __init__(self, project: "Opened", attempt: str, stream: str) -> None:
        self._project = project
        self._attempt = attempt
        self._stream = stream
        self._descriptor = -1
        self._ask_s = 0.0

    def read(self, start: int, most: int) -> LogPiece:
        """Return what there is from `start` on, at most that many bytes; as `read_log` does."""
        if self._descriptor >= 0:
            content = os.pread(self._descriptor, most, start)
            if content or time.monotonic() < self._ask_s:
                return LogPiece(content, start, start + len(content), is_over=False)
        piece = read_log(self._project, self._attempt, self._stream, start=start, most=most)
        self._ask_s = time.monotonic() + ASK_S
        if not piece.is_over and self._descriptor < 0:
            path = live_streams(Reading(self._project).attempt(self._attempt)).get(self._stream)
            with suppress(OSError):
                if path is not None:
                    self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        return piece

    def close(self) -> None:
        """Give the file back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """In the block, the file is open."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"the log `{path}` cannot be read: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def live_streams(attempt: "AttemptRow") -> dict[str, str]:
    """Return where the streams of a running attempt can be read: on its own host, while it runs.

    They are the files that the attempt's first process has open, found through /proc.
    """
    if attempt.pid is None or attempt.host != os.uname().nodename:
        return {}
    found = {}
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        path = f"/proc/{attempt.pid}/fd/{descriptor}"
        try:
            target = Path(path).readlink()
        except OSError:
            continue
        if target.name.startswith(name):
            found[name] = path
    return found
