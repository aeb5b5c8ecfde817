"""Owns the way from an attempt's end to its result: capture, check, publish, in this order.

A disk without room undoes nothing: an attempt that could not write comes again.

Called in the worker's main loop where nothing but a few system calls is to be done, and in a thread
of its pool where files must be read, copied or removed. Nothing here starts or kills a process.
"""

import os
import signal
import time

from stoker.failpoints import hit
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import EMPTY_STREAM, Claimed, Published, Result, Stream
from stoker.work.answers import BadAnswer, read_reason, read_values
from stoker.work.capture import TEXT_BYTES, keep
from stoker.work.checks import Ending, classify, too_much_memory
from stoker.work.delivery import deliver
from stoker.work.desk import Desk
from stoker.work.disk import taken_bytes, too_much
from stoker.work.exit import Exit
from stoker.work.failing import keep_failure
from stoker.work.room import is_full_error, speaks_of_room
from stoker.work.running import Running


def conclude(running: Running, end: Exit, desk: Desk) -> Result:
    """Return the result of an attempt whose processes are all gone.

    Its outputs are published if it succeeded. Whatever the file system refuses becomes a failed
    result that says so. StaleAttempt if the task has moved on, and then nothing was published.
    """
    claimed, step = running.claimed, running.recipe.step
    if running.seat is not None and running.seat.is_answered:
        try:
            end.stated = read_reason(running.seat)
            end.values = end.values or read_values(running.seat)
        except BadAnswer as bad:
            end.problem = end.problem or str(bad)
    outputs: tuple[Published, ...] = ()
    ending = classify(step, end, stopped=running.stopped, key=claimed.key)
    ending = _excused(running, desk, ending, end)
    ending = _within_memory(running, end, ending)
    ending = _within_disk(running, ending)
    hit("checked")
    if (
        step.outputs
        and ending.state is AttemptState.SUCCEEDED
        and ending.verdict is not Verdict.SKIP
    ):
        running.publish()
        outputs, ending = deliver(running, desk, ending)
        end.ended_us = time.time_ns() // 1000  # publishing is part of the attempt
    if ending.state is AttemptState.SUCCEEDED:
        desk.room.forget(claimed.task_id)
    begun = running.begun
    stdout, stderr, ending = _keep_streams(claimed, end, desk, ending)
    error_folder, ending = keep_failure(running, end, desk, ending)
    return Result(
        attempt=claimed.attempt,
        task_id=claimed.task_id,
        state=ending.state,
        verdict=ending.verdict,
        exit_code=end.exit_code,
        signal=end.signal,
        pid=None if begun is None else begun.pid,
        started_us=end.started_us or (None if begun is None else begun.started_us),
        publishing_us=running.publishing_us,
        ended_us=end.ended_us or time.time_ns() // 1000,
        user_us=end.user_us,
        system_us=end.system_us,
        max_rss_bytes=end.max_rss_bytes,
        command=running.command,
        stdout=stdout,
        stderr=stderr,
        values=end.values if ending.state is AttemptState.SUCCEEDED else {},
        outputs=outputs,
        reason=ending.reason,
        cause=ending.cause,
        is_cut=ending.is_cut,
        error_folder=error_folder,
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


def _excused(running: Running, desk: Desk, ending: Ending, end: Exit) -> Ending:
    """Return the ending; one that a full disk brought about does not count as a failure."""
    if ending.state is not AttemptState.FAILED or running.stopped is not None:
        return ending
    said = ((end.error or end.problem or "").encode("utf-8", "replace"), end.stderr.text)
    places = [("scratch", desk.folder.path)]
    if running.seat is not None:
        places += [("outputs", os.path.dirname(path)) for path in running.seat.beside]
    if not desk.room.find(places) and not speaks_of_room(*said):
        return ending
    return desk.excused(running.claimed, ending)


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
            kept.append(keep(captured, path, rights=desk.rights))
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
