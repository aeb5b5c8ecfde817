"""What an outpost says of an attempt's end, taken only as far as it can be true."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result, Stream
from stoker.model.words import shown, visible
from stoker.outpost.bundle import Delivered
from stoker.outpost.plain import from_plain
from stoker.store.columns import NAME_LENGTH
from stoker.store.reports.carried import Carried

MOST_OUTPUTS = 10_000
MOST_TEXT = 16 * 1024
MOST_STREAM = 64 * 1024
_MOST_VALUES = 256 * 1024
_MOST_TIME_US = 253_370_764_800_000_000  # the year 9999
_ENDS = frozenset(AttemptState) - {AttemptState.RUNNING, AttemptState.LOST}
_GOOD = frozenset((Verdict.DONE, Verdict.STOP))
_SUMMED = ("user_us", "system_us", "max_rss_bytes")


def nodes_in(answer: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return node and batch job of attempts that run there, or did; what makes no sense is left out."""
    found, told = {}, answer.get("nodes")
    for attempt, said in told.items() if isinstance(told, dict) else ():
        if isinstance(said, list) and len(said) == 2:
            node, job = (_name(one) if isinstance(one, str) else "" for one in said)
            if node:
                found[attempt] = (node, job or None)
    return found


class BadResult(ValueError):
    """What was delivered cannot be how an attempt ended; the text says why."""


def accept(raw: Any, one: Carried) -> Delivered:
    """Return what was delivered for this attempt; BadResult if it makes no sense."""
    try:
        delivered = from_plain(Delivered, raw)
    except (ValueError, TypeError) as error:
        raise BadResult(str(error)) from None
    result = delivered.result
    if result.attempt != one.attempt or result.task_id != one.task_id:
        raise BadResult("it is another attempt's")
    _check_end(result, has_outputs=bool(delivered.staged))
    _check_numbers(result)
    if len(delivered.staged) > MOST_OUTPUTS:
        raise BadResult(f"it has more than {MOST_OUTPUTS:,} outputs")
    if not delivered.start.isalnum() or len(delivered.start) > 40:
        raise BadResult("it names no start")
    for staged in delivered.staged:
        name = staged.basename
        if "/" in name or "\0" in name or name in ("", ".", "..") or len(name) > 255:
            raise BadResult(f"`{shown(name)[:80]}` is no name of a file")
        if staged.size_bytes < 0 or staged.position < 0 or len(staged.checksum) > 80:
            raise BadResult("an output has no sound size, position or checksum")
    return replace(
        delivered,
        result=replace(_clean(result), node=_name(delivered.node) or None),
        batch_id=None if delivered.batch_id is None else _name(delivered.batch_id),
    )


def _check_end(result: Result, *, has_outputs: bool) -> None:
    if result.state not in _ENDS:
        raise BadResult(f"an attempt cannot end {result.state.word}")
    is_good = result.state is AttemptState.SUCCEEDED
    if result.verdict in _GOOD and not (is_good or result.state is AttemptState.CANCELLED):
        raise BadResult(f"one that ended {result.state.word} is not {result.verdict.value}")
    if result.outputs or result.error_folder is not None or (has_outputs and not is_good):
        raise BadResult("it has outputs that it cannot have")


def _check_numbers(result: Result) -> None:
    for name in ("started_us", "publishing_us", "ended_us"):
        value = getattr(result, name)
        if value is not None and not 0 <= value < _MOST_TIME_US:
            raise BadResult(f"`{name}` is no time")
    if any(not 0 <= getattr(result, name) < 1 << 62 for name in _SUMMED):
        raise BadResult("what it used is no sound number")
    for name, most in (("exit_code", 255), ("signal", 64), ("pid", 1 << 31)):
        value = getattr(result, name)
        if value is not None and not 0 <= value <= most:
            raise BadResult(f"`{name}` is {value}")
    if _size_of(result.values) > _MOST_VALUES:
        raise BadResult("its values are too large")


def _size_of(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(len(str(key)) + _size_of(one) for key, one in value.items()) + 2
    if isinstance(value, list):
        return sum(map(_size_of, value)) + 2
    return len(str(value))


def _clean(result: Result) -> Result:
    """Return the result with texts that can be kept and shown, and no path that is not here."""
    return replace(
        result,
        stdout=_stream(result.stdout),
        stderr=_stream(result.stderr),
        reason=_text(result.reason),
        cause=_text(result.cause),
        command=_text(result.command),
    )


def _text(text: str | None) -> str | None:
    return None if text is None else shown(text)[:MOST_TEXT]


def _name(text: str) -> str:
    return visible(shown(text[:NAME_LENGTH]))[:NAME_LENGTH]


def _stream(stream: Stream) -> Stream:
    is_cut = stream.truncated or stream.path is not None or len(stream.text) > MOST_STREAM
    return Stream(
        size_bytes=max(stream.size_bytes, len(stream.text[-MOST_STREAM:])),
        truncated=is_cut,
        text=stream.text[-MOST_STREAM:],
    )
