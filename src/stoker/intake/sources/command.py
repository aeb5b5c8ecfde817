"""A command that prints the names of items, as a source: asked again and again.

It prints all that is there, as often as it is asked; what is known counts once. Every whole line is
taken, also of a command that fails afterwards, so that one folder which cannot be read keeps back
nothing else. Its failure is the source's trouble, with its own last words.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import IO, Any

from stoker.errors import UserError
from stoker.intake import decoding
from stoker.intake.listed_names import listed_items
from stoker.intake.pushed import Listing
from stoker.intake.sources.source import Find, Mark, Over, Refusal, Standing, await_any
from stoker.model.pipeline import Pipeline
from stoker.model.source import Command
from stoker.spec.environment import base_environment

_GRACE_S = 3.0  # between TERM and KILL
_LAST_WORDS = 600  # characters of stderr that are reported
_WORDS_READ = 8_192  # bytes


class CommandSource:
    """Runs a command every so often, and takes the names that it prints.

    Until `over` is set: then it is ended, with all that it has started in its session.
    """

    kind = "command"

    def __init__(
        self,
        pipeline: Pipeline,
        name: str,
        command: Command,
        *,
        project_folder: str,
        over: Over | None = None,
    ) -> None:
        self.name = name
        self.standing = Standing()
        self._pipeline = pipeline
        self._command = command
        self._over = over
        self._refused: list[str] = []
        self._listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=self._refused.append,
            priority=pipeline.priority,
        )
        self._began_s = 0.0

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:  # noqa: ARG002 - it has none
        """Yield the items that the command names now."""
        self._began_s = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            trouble = self._run(out, err)
            out.seek(0)
            content = out.read()
        if trouble is not None:
            content = _whole_lines(content)
        folder, title = self._pipeline.folder, self._title()
        try:
            names = decoding.numbered_in(content, name=title)
        except UserError as error:
            names = iter(())
            trouble = "\n".join(filter(None, (trouble, str(error))))
        self.standing = Standing(trouble=trouble)
        for item in listed_items(self._listing, names, name=title, folder=folder):
            yield from self._refusals()
            yield item
        yield from self._refusals()
        yield Mark()

    def rest(self, over: Over) -> None:
        """Return when the command is to be asked again: `every_s` after it was begun last."""
        over.rest(self._began_s + self._command.every_s - time.monotonic())

    def close(self) -> None:
        """Hold nothing: the command has ended when a look has."""

    def _refusals(self) -> Generator[Refusal]:
        for message in self._refused:
            yield Refusal(message=message)
        self._refused.clear()

    def _title(self) -> str:
        first, *more = self._command.text.strip().splitlines()
        return f"{first} …" if more else first

    def _run(self, out: IO[bytes], err: IO[bytes]) -> str | None:
        """Run the command to its end; return what went wrong, None if nothing did."""
        try:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", self._command.text],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self._pipeline.folder,
                env=base_environment(os.environ, project=self._pipeline.project_folder),
                start_new_session=True,
            )
        except OSError as error:
            return f"`{self._title()}` cannot be run: {error.strerror}"
        try:
            is_over = self._wait(process.pid)
            has_ended = _has_ended(process.pid)
        finally:
            _end(process)
        code = process.returncode if has_ended else None
        if code == 0:
            return None
        if code is None and not is_over:
            trouble = f"did not end within {self._command.timeout_s:g} s and was stopped"
        elif code is None:
            trouble = "was stopped, as Stoker stops"
        elif code < 0:
            trouble = f"was ended by {signal.Signals(-code).name}"
        else:
            trouble = f"ended with exit code {code}"
        words = _last_words(err)
        return f"`{self._title()}` {trouble}" + (f": {words}" if words else "")

    def _wait(self, pid: int) -> bool:
        """Return when the command has ended, its time is up, or Stoker stops: whether that."""
        limit_s = self._command.timeout_s
        descriptor = os.pidfd_open(pid)
        try:
            if self._over is None:
                await_any(limit_s, descriptor)
            else:
                self._over.rest(limit_s, descriptor)
        finally:
            os.close(descriptor)
        return bool(self._over)


def _has_ended(pid: int) -> bool:
    """Whether the child has ended; it is not reaped, so that its id stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The process has ended, and what is left of its session's group too."""
    if not _has_ended(process.pid):
        _kill_group(process.pid, signal.SIGTERM)
        until_s = time.monotonic() + _GRACE_S
        while not _has_ended(process.pid) and time.monotonic() < until_s:
            time.sleep(0.02)
    _kill_group(process.pid, signal.SIGKILL)
    process.wait()


def _kill_group(leader: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _whole_lines(content: bytes) -> bytes:
    """Return what was printed up to the last end of a line: what follows may be half a name."""
    end = b"\0" if b"\0" in content else b"\n"
    return content[: content.rfind(end) + 1]


def _last_words(err: IO[bytes]) -> str:
    """Return the end of what the command said on stderr, in one line."""
    size = err.seek(0, os.SEEK_END)
    err.seek(max(0, size - _WORDS_READ))
    words = err.read().decode("utf-8", "replace").strip().replace("\n", " / ")
    return words if len(words) <= _LAST_WORDS else "…" + words[-_LAST_WORDS:]
