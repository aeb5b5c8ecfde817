"""Owns the way from an attempt's end to its result: capture, check, publish, in this order.

A disk without room undoes nothing: outputs wait in the scratch until they can be published, and an
attempt that could not write comes again.

Called in the worker's main loop where nothing but a few system calls is to be done, and in a thread
of its pool where files must be read, copied or removed. Nothing here starts or kills a process.
"""

import errno
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.errors import OutputConflict, StaleAttempt, StokerError, Unavailable
from stoker.failpoints import hit
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import EMPTY_STREAM, Claimed, Published, Result, Stream
from stoker.work.capture import NOTHING, TEXT_BYTES, Captured, keep
from stoker.work.checks import Ending, Facts, classify, normalise, shown, too_much_memory
from stoker.work.disk import taken_bytes, too_much
from stoker.work.publish import OutputError, find_pieces, publish
from stoker.work.room import Room, existing, is_full_error, speaks_of_room
from stoker.work.running import Running
from stoker.work.scratch import WorkerFolder
from stoker.work.slot import Seat

VALUES_BYTES = 64 * 1024
REASON_BYTES = 4096
RESERVE_AGAIN_S = 0.5
ROOM_AGAIN_S = 0.2
DISK_FULL = "disk full"  # the cause of attempts that found no room
HOST_SHORT = "the host is short of processes, memory or open files"
_HOST_SHORT = frozenset((errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM))


@dataclass(slots=True, kw_only=True)
class Exit:
    """How a process or a call ended, and what it used."""

    exit_code: int | None = None
    signal: int | None = None
    problem: str | None = None  # it could not start, or what it returned is wrong
    error: str | None = None  # the exception of a python step
    values: Mapping[str, Any] = field(default_factory=dict)
    started_us: int = 0
    ended_us: int = 0
    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0
    is_silent: bool = False  # its place's files were found empty
    stdout: Captured = NOTHING
    stderr: Captured = NOTHING


@dataclass(frozen=True, slots=True)
class Desk:
    """What concluding needs beside the attempt: the worker's folder, the logs, and the store."""

    folder: WorkerFolder
    logs: str
    room: Room
    reserve: Callable[[Claimed, Mapping[str, bool]], frozenset[str]]
    is_held: Callable[[], bool]  # whether the worker's lease is
    ended_by: Callable[[Claimed], Ending | None]  # why an attempt is not to wait, if it is not

    def failure_of(self, claimed: Claimed, problem: BaseException) -> Ending:
        """Return the ending of an attempt that `problem` kept from starting or from its end."""
        ending = _failure_of(claimed, problem)
        if isinstance(problem, OSError) and problem.errno in _HOST_SHORT:
            return self._excused(claimed, ending, HOST_SHORT)
        if not isinstance(problem, OSError) or not is_full_error(problem):
            return ending
        folder = os.path.dirname(os.fsdecode(problem.filename or ""))
        self.room.note(existing(folder) if os.path.isabs(folder) else self.folder.path)
        return self.excused(claimed, ending)

    def excused(self, claimed: Claimed, ending: Ending) -> Ending:
        """Return the ending of an attempt that found a disk full: it comes again, within bounds."""
        return self._excused(claimed, ending, DISK_FULL)

    def _excused(self, claimed: Claimed, ending: Ending, cause: str) -> Ending:
        verdict = Verdict.LATER if self.room.excuses(claimed.task_id) else Verdict.RETRY
        return ending._replace(verdict=verdict, cause=cause)


def conclude(running: Running, end: Exit, desk: Desk) -> Result:
    """Return the result of an attempt whose processes are all gone.

    Its outputs are published if it succeeded. Whatever the file system refuses becomes a failed
    result that says so. StaleAttempt if the task has moved on, and then nothing was published.
    """
    claimed, step = running.claimed, running.recipe.step
    problem, values = end.problem, end.values
    stated = None
    if running.seat is not None and running.seat.is_answered:
        stated = read_reason(running.seat)
        try:
            values = values or read_values(running.seat)
        except ValueError as bad:
            problem = problem or str(bad)
    outputs: tuple[Published, ...] = ()
    facts = Facts(
        exit_code=end.exit_code,
        signal=end.signal,
        stopped=running.stopped,
        problem=problem,
        error=end.error,
        stated=stated,
        stdout=end.stdout.text,
        stderr=end.stderr.text,
    )
    ending = _excused(running, desk, classify(step, facts, key=claimed.key), facts)
    ending = _within_memory(running, end, ending)
    ending = _within_disk(running, ending)
    hit("checked")
    if (
        step.outputs
        and ending.state is AttemptState.SUCCEEDED
        and ending.verdict is not Verdict.SKIP
    ):
        outputs, ending = _publish(running, desk, ending)
    if ending.state is AttemptState.SUCCEEDED:
        desk.room.forget(claimed.task_id)
    stdout, stderr, ending = _keep_streams(claimed, end, desk, ending)
    return Result(
        attempt=claimed.attempt,
        task_id=claimed.task_id,
        state=ending.state,
        verdict=ending.verdict,
        exit_code=end.exit_code,
        signal=end.signal,
        pid=running.pid or None,
        started_us=end.started_us or running.started_us or None,
        ended_us=end.ended_us or time.time_ns() // 1000,
        user_us=end.user_us,
        system_us=end.system_us,
        max_rss_bytes=end.max_rss_bytes,
        command=running.command,
        stdout=stdout,
        stderr=stderr,
        values=values if ending.state is AttemptState.SUCCEEDED else {},
        outputs=outputs,
        reason=ending.reason,
        cause=ending.cause,
    )


def _within_memory(running: Running, end: Exit, ending: Ending) -> Ending:
    """Return the ending; one that was killed, and had taken more memory than it may, lacked it.

    The system's own killer may come before we look, as may a limit of the batch system's.
    """
    limit_bytes = running.claimed.memory_bytes
    was_killed = end.signal == signal.SIGKILL or end.exit_code == 128 + signal.SIGKILL
    is_open = ending.state is AttemptState.FAILED and ending.verdict is Verdict.RETRY
    if limit_bytes is None or not (was_killed and is_open) or end.max_rss_bytes <= limit_bytes:
        return ending
    return too_much_memory(end.max_rss_bytes, limit_bytes, ending.reason or "")


def _within_disk(running: Running, ending: Ending) -> Ending:
    """Return the ending; one of an attempt that holds more than it may is no success."""
    limit_bytes = running.recipe.step.disk_bytes
    if limit_bytes is None or running.seat is None or ending.state is not AttemptState.SUCCEEDED:
        return ending
    used_bytes = taken_bytes(running.seat.folders)
    return ending if used_bytes <= limit_bytes else too_much(used_bytes, limit_bytes)


def _publish(running: Running, desk: Desk, ending: Ending) -> tuple[tuple[Published, ...], Ending]:
    """Return what was published, and the ending: failed, with the reason, if something was not."""
    claimed, seat = running.claimed, running.seat
    scratch = seat.scratch if seat is not None else ""
    try:
        pieces = find_pieces(
            running.recipe.step, scratch=scratch, made=running.made, targets=running.targets
        )
        outputs = publish(
            pieces,
            desk.folder,
            reserve=lambda paths: _reserve(desk, claimed, paths),
            is_ours=desk.is_held,
            wait_for_room=lambda folder: _wait_for_room(desk, claimed, folder),
        )
    except StaleAttempt:
        raise
    except _GivenUp as order:
        return (), order.ending
    except OutputConflict as conflict:
        reason = shown(str(conflict))
        return (), Ending(AttemptState.FAILED, Verdict.FAIL, reason, "output_conflict")
    except OSError as problem:
        return (), desk.failure_of(claimed, problem)
    except OutputError as problem:
        cause = problem.__cause__
        if cause is not None and is_full_error(cause):
            return (), desk.failure_of(claimed, cause)
        reason = shown(str(problem))
        return (), Ending(
            AttemptState.FAILED, Verdict.RETRY, reason, normalise(reason, claimed.key)
        )
    return outputs, ending


class _GivenUp(Exception):
    """The attempt is to end as `ending`, although it has something to publish."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


def _wait_for_room(desk: Desk, claimed: Claimed, folder: str) -> None:
    """There may be room in `folder` again.

    The attempt has done its work: what it made waits in the scratch. StaleAttempt if the lease runs
    out meanwhile; _GivenUp if the attempt or its worker is to stop.
    """
    desk.room.note(folder, "outputs")
    while desk.room.is_full(folder):
        if not desk.is_held():
            raise StaleAttempt("the lease has run out; this attempt publishes nothing")
        ending = desk.ended_by(claimed)
        if ending is not None:
            raise _GivenUp(ending)
        time.sleep(ROOM_AGAIN_S)


def _excused(running: Running, desk: Desk, ending: Ending, facts: Facts) -> Ending:
    """Return the ending; one that a full disk brought about does not count as a failure."""
    if ending.state is not AttemptState.FAILED or facts.stopped is not None:
        return ending
    said = ((facts.error or facts.problem or "").encode("utf-8", "replace"), facts.stderr)
    places = [("scratch", desk.folder.path)]
    if running.seat is not None:
        places += [("outputs", os.path.dirname(path)) for path in running.seat.beside]
    if not desk.room.find(places) and not speaks_of_room(*said):
        return ending
    return desk.excused(running.claimed, ending)


def _reserve(desk: Desk, claimed: Claimed, paths: Mapping[str, bool]) -> frozenset[str]:
    """Return what the store says, asked again while it does not answer and the lease lasts.

    The attempt has done its work: neither a full disk of the store nor a lock undoes that.
    """
    while True:
        try:
            return desk.reserve(claimed, paths)
        except Unavailable:
            if not desk.is_held():
                raise StaleAttempt(
                    "the lease has run out; this attempt publishes nothing"
                ) from None
            time.sleep(RESERVE_AGAIN_S)


def _keep_streams(
    claimed: Claimed, end: Exit, desk: Desk, ending: Ending
) -> tuple[Stream, Stream, Ending]:
    """Return the streams' records. A log that cannot be written is said so, and loses no result."""
    kept: list[Stream] = []
    for captured, suffix in ((end.stdout, "out"), (end.stderr, "err")):
        if not captured.size_bytes:
            kept.append(EMPTY_STREAM)
            continue
        path = log_path(desk.logs, claimed, suffix)
        try:
            kept.append(keep(captured, path))
            hit("log_kept")
        except OSError as problem:
            if is_full_error(problem):
                desk.room.note(desk.logs, "logs")
            tail = captured.text[-TEXT_BYTES:]
            kept.append(Stream(size_bytes=captured.size_bytes, truncated=True, text=tail))
    return kept[0], kept[1], ending


def log_path(logs: str, claimed: Claimed, suffix: str) -> str:
    """Return where a stream that is too big for the store is kept: by the day of the claim."""
    day = time.strftime("%Y-%m-%d", time.gmtime(claimed.claimed_us / 1e6))
    return os.path.join(logs, day, f"{claimed.attempt.hex()}.{suffix}")


def read_reason(seat: Seat) -> str | None:
    """Return the first line that the attempt wrote into STOKER_REASON, if it did."""
    content = _read_bounded(seat.reason, REASON_BYTES)
    if not content:
        return None
    lines = content[:REASON_BYTES].decode("utf-8", "replace").split("\n")
    return lines[0].strip() or None


def read_values(seat: Seat) -> dict[str, Any]:
    """Return what the attempt wrote into STOKER_VALUES; ValueError says what is wrong with it.

    NaN and the infinities, which JSON does not have and some writers write, become null.
    """
    content = _read_bounded(seat.values, VALUES_BYTES)
    if not content or not content.strip():
        return {}
    if len(content) > VALUES_BYTES:
        raise ValueError(f"the file STOKER_VALUES has more than {VALUES_BYTES} bytes")
    try:
        values = json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"the file STOKER_VALUES is no JSON: {problem}") from problem
    if not isinstance(values, dict):
        raise ValueError("the file STOKER_VALUES holds no JSON object")  # noqa: TRY004 - as promised
    return values


def _read_bounded(path: str, limit: int) -> bytes:
    """Return up to `limit + 1` bytes of a regular file; empty if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, limit + 1)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def unstarted(claimed: Claimed, ending: Ending) -> Result:
    """Return the result of an attempt that ended before any process was started."""
    return Result(
        attempt=claimed.attempt,
        task_id=claimed.task_id,
        state=ending.state,
        verdict=ending.verdict,
        ended_us=time.time_ns() // 1000,
        reason=ending.reason,
        cause=ending.cause,
    )


def _failure_of(claimed: Claimed, problem: BaseException) -> Ending:
    """Return the ending of an attempt that `problem` kept from starting or from being concluded."""
    if isinstance(problem, OSError) and problem.strerror:
        where = f" (`{os.fsdecode(problem.filename)}`)" if problem.filename else ""
        reason = f"{problem.strerror}{where}"
    else:
        reason = str(problem) or type(problem).__name__
    reason = shown(reason)
    verdict = Verdict.FAIL if isinstance(problem, StokerError) else Verdict.RETRY
    return Ending(AttemptState.FAILED, verdict, reason, normalise(reason, claimed.key))
