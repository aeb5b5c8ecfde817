"""What a document of a feed gets: the word for the item's state, and a record of each step."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stoker.model.item import key_from_name
from stoker.model.pipeline import Argv, Call, Persistent, Python, Run, Step
from stoker.store.reports.attempts import streams_of
from stoker.store.reports.recent_changes import ItemProgress, StepProgress

if TYPE_CHECKING:
    from stoker.store.rows import AttemptRow
    from stoker.store.unit import Store

TAIL_BYTES = 4_000  # of each stream, in a document
_PROGRAM = 500  # characters of a command
_DECIDING = {  # states of the step that an item is in this state for
    "running": ("running",),
    "held": ("held",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
    "waiting": ("ready", "blocked"),
}


def state_word(item: ItemProgress, words: Mapping[str, str]) -> str:
    """Return the group's word for the state of the item, with the step that decides it."""
    deciding = _DECIDING.get(item.state, ())
    steps = [one.step for state in deciding for one in item.steps if one.state == state]
    last = item.steps[-1].step if item.steps else ""
    word = words.get(item.state, item.state)
    return word.replace("{step}", steps[0] if steps else last)


def program_of(step: Step) -> str:
    """Return what the step runs, as its author wrote it."""
    match step.action:
        case Run(text=text):
            return text.strip()[:_PROGRAM]
        case Argv(words=words):
            flat = (
                word for group in words for word in ([group] if isinstance(group, str) else group)
            )
            return " ".join(flat)[:_PROGRAM]
        case Persistent(program=program):
            return " ".join(program)[:_PROGRAM]
        case Python(function=function) | Call(function=function):
            return function


def step_record(
    step: StepProgress, program: str | None, tails: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the record of one step; what is not known of it is left out."""
    attempt = step.attempt
    if attempt is None:
        return {"state": step.state}
    record = {
        "state": step.state,
        "attempt": attempt.id,
        "number": attempt.number,
        "program": program,
        "host": attempt.host,
        "node": attempt.node,
        "batch_id": attempt.batch_id,
        "started_at": _date(attempt.started_at),
        "ended_at": _date(attempt.ended_at),
        "exit_code": attempt.exit_code,
        "stdout": attempt.stdout.path,
        "stderr": attempt.stderr.path,
        **(tails or {}),
        "outputs": [
            {
                "name": one.name,
                "path": one.path,
                "size_bytes": one.size_bytes,
                "checksum": one.checksum,
            }
            for one in attempt.outputs
        ],
        "error": attempt.reason,
    }
    return {name: value for name, value in record.items() if value not in (None, [])}


def tails_of(
    store: "Store", attempt: "AttemptRow | None", known: Mapping[str, Any]
) -> dict[str, str]:
    """Return the ends of what an attempt that is over wrote, as `stdout_tail` and `stderr_tail`.

    What can no longer be read stays as the document has it in `known`, the step's record there.
    """
    if attempt is None or attempt.state == "running":
        return {}
    found: dict[str, str] = {}
    for name, stream in streams_of(store, attempt.id).items():
        content = stream.text
        if stream.path is not None:
            content = _end_of(stream.path)
        if content:
            found[f"{name}_tail"] = content[-TAIL_BYTES:].decode("utf-8", "replace")
        elif known.get("attempt") == attempt.id and isinstance(known.get(f"{name}_tail"), str):
            found[f"{name}_tail"] = known[f"{name}_tail"]
    return found


def _end_of(path: str) -> bytes | None:
    """Return the last bytes of a file; None where it cannot be read here."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        size = os.fstat(handle).st_size
        return os.pread(handle, TAIL_BYTES, max(0, size - TAIL_BYTES))
    except OSError:
        return None
    finally:
        os.close(handle)


def sendable(value: Any) -> Any:
    """Return the value with bytes that are not UTF-8 as `%XX`: JSON has no place for them."""
    if isinstance(value, list):
        return [sendable(one) for one in value]
    if isinstance(value, dict):
        return {name: sendable(one) for name, one in value.items()}
    is_text = isinstance(value, str) and not value.isascii()
    has_bytes = is_text and any("\ud800" <= one <= "\udfff" for one in value)
    return key_from_name(value) if has_bytes else value


def _date(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
