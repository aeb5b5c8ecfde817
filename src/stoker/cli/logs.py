"""`stoker logs`."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE, STEP
from stoker.cli.render import json_line, say
from stoker.cli.scope import KEY, Scope, by_part, command, json_option
from stoker.errors import NotFound, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stoker.project import Project
    from stoker.store.reports.attempts import StoredStream
    from stoker.store.rows import AttemptRow

_LOOK_S = 0.3
_BLOCK = 1 << 16


@command()
@click.argument("key", type=KEY, metavar="KEY")
@click.argument("step", required=False, type=STEP, metavar="[STEP]")
@click.option(
    "--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline, if several have the key."
)
@click.option("--attempt", metavar="ID|N", help="Of this attempt: its id's beginning or number.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@click.option("--stdout", "only_stdout", is_flag=True, help="Only what it wrote to stdout.")
@click.option("--stderr", "only_stderr", is_flag=True, help="Only what it wrote to stderr.")
@json_option
def logs(  # noqa: PLR0917 - click hands options over by keyword
    scope: Scope,
    key: str,
    step: str | None,
    pipeline: str | None,
    attempt: str | None,
    follow: bool,
    only_stdout: bool,
    only_stderr: bool,
    as_json: bool,
) -> None:
    """Print what an attempt wrote to stdout and stderr.

    KEY may also be a glob or a part of the key that only one item has.
    By default of the latest attempt of STEP, or of the step that was tried last. Both streams go to
    standard output, stderr after stdout, unless you choose one. `-f` follows a running attempt on
    this host.
    """
    if follow and as_json:
        raise UserError("`--follow` prints what comes while it comes; leave `--json` out")
    streams = [
        name
        for name, is_left_out in (("stdout", only_stderr), ("stderr", only_stdout))
        if not is_left_out
    ] or ["stdout", "stderr"]
    with scope.reading() as project:
        found = by_part(project, key, pipeline, lambda name, of: project.show(name, pipeline=of))
        chosen = _choose(found.attempts, found.item.item, step, attempt)
        if as_json:
            from stoker.project.log_reading import log_answer

            json_line(log_answer(project, chosen, streams))
            return
        say(f"{chosen.step} #{chosen.number}, {chosen.state}, {chosen.id}")
        if chosen.state != "running":
            _print_kept(project.streams(chosen.id), streams, chosen.host)
            return
        _Follower(project, chosen, streams).run(go_on=follow)


def _choose(
    attempts: "tuple[AttemptRow, ...]", key: str, step: str | None, wanted: str | None
) -> "AttemptRow":
    for one in reversed(attempts):
        is_wanted = (
            (one.started_at is not None or one.state == "running")
            if wanted is None
            else wanted == str(one.number) or one.id.startswith(wanted)
        )
        if is_wanted and step in (None, one.step):
            return one
    which = f" {wanted}" if wanted else ""
    raise NotFound(f"`{key}` has no attempt{which}{f' of step `{step}`' if step else ''}")


def _print_kept(kept: "Mapping[str, StoredStream]", streams: list[str], host: str | None) -> None:
    for name in streams:
        stream = kept[name]
        if len(streams) > 1 and stream.size_bytes:
            say(f"--- {name}")
        if stream.text is not None:
            _write(stream.text)
        elif stream.path is not None:
            _copy(stream.path, host)
        elif stream.size_bytes:
            say(f"what it wrote to {name}, {stream.size_bytes:,} bytes, was forgotten since")
            continue
        if stream.truncated:
            say(f"{name} was {stream.size_bytes:,} bytes; its middle was not kept")
    if not any(kept[name].size_bytes for name in streams):
        say("it wrote nothing")


def _copy(path: str, host: str | None) -> None:
    """Print a log file, which a folder that hosts share may hold too."""
    for block in _blocks(path, host):
        _write(block)


def _blocks(path: str, host: str | None) -> "Iterator[bytes]":
    """Yield what the file holds; what its reader's own output suffers is no matter of the file."""
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        if host not in (None, os.uname().nodename):
            raise NotFound(
                f"what it wrote is on `{host}`, in `{path}`: run `stoker logs` there, or let the "
                "hosts share that folder"
            ) from None
        raise NotFound(f"the log `{path}` cannot be read: {error.strerror}") from None


def _write(block: bytes) -> None:
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


class _Follower:
    """Prints what a running attempt writes, from its stream files, until it has ended."""

    def __init__(self, project: "Project", attempt: "AttemptRow", streams: list[str]) -> None:
        self._project = project
        self._attempt = attempt
        self._streams = streams
        self._at = dict.fromkeys(streams, 0)

    def run(self, *, go_on: bool) -> None:
        """Print what is there; with `go_on`, also what comes until the attempt has ended."""
        if not go_on:
            self._look()
            return
        while True:
            self._look()
            time.sleep(_LOOK_S)
            fresh = self._project.attempt(self._attempt.id)
            if fresh.state != "running":
                self._finish()
                say(f"{fresh.step} #{fresh.number}, {fresh.state}")
                return
            self._attempt = fresh

    def _look(self) -> None:
        from stoker.project.log_reading import live_streams

        paths = live_streams(self._attempt)
        if not paths:
            if self._attempt.host not in (None, os.uname().nodename):
                raise NotFound(
                    f"it runs on `{self._attempt.host}`; what it writes can be followed there only"
                )
            return
        for name in self._streams:
            path = paths.get(name)
            if path is None:
                continue
            with open(path, "rb") as file:
                file.seek(self._at[name])
                while block := file.read(_BLOCK):
                    self._at[name] += len(block)
                    _write(block)

    def _finish(self) -> None:
        """Print what came after the last look, from what the store keeps."""
        kept = self._project.streams(self._attempt.id)
        for name in self._streams:
            stream = kept[name]
            whole = stream.text or b""
            if stream.path is not None:
                whole = Path(stream.path).read_bytes()
            if stream.truncated:
                say(
                    f"{name} was {stream.size_bytes:,} bytes; `stoker logs` prints what was kept of it"
                )
            else:
                _write(whole[self._at[name] :])
