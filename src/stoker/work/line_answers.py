"""What a line from a warm process is: an answer, output of its task, or nothing that makes sense."""

import json
import re
from typing import Any, NamedTuple

from stoker.model.strict_json import read_json
from stoker.work.answers import VALUES_BYTES
from stoker.work.warm_process import Malformed

LINE_BYTES = 1024 * 1024  # of an answer; a longer line cannot be one
WORDS = 4000  # characters of a reason that are kept
_BEGINS = re.compile(rb'\s*\{\s*"stoker"\s*:')
_MARK = b'"stoker"'


class Answer(NamedTuple):
    """An answer: `word` is `ready`, `done` or `failed`."""

    word: str
    id: int | None = None
    values: dict[str, Any] = {}  # noqa: RUF012 - never changed
    reason: str | None = None
    problem: str | None = None  # why its values cannot be kept


def claims_to_answer(line: bytes) -> bool:
    """Whether a line, or the beginning of one, can be nothing but an answer."""
    return _BEGINS.match(line) is not None


def parse_answer(line: bytes) -> Answer | None:
    """Return the answer that a line is, None if it is output; Malformed if it only looks like one."""
    if _MARK not in line or not line.lstrip().startswith(b"{"):
        return None
    try:
        found = read_json(line)
    except ValueError as problem:
        if claims_to_answer(line):
            raise Malformed(f"it is not JSON: {problem}") from problem
        return None
    if not isinstance(found, dict) or "stoker" not in found:
        return None
    word = found["stoker"]
    if word not in ("ready", "done", "failed"):
        raise Malformed(f"`stoker` is {_short(word)}, where `done` or `failed` is expected")
    number, reason = found.get("id"), found.get("reason")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise Malformed(f"`id` is {_short(number)}")
    if reason is not None and not isinstance(reason, str):
        raise Malformed(f"`reason` is {_short(reason)}, where a text is expected")
    values = found.get("values")
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise Malformed(f"`values` is {_short(values)}, where an object is expected")
    return Answer(word, number, values, None if reason is None else reason[:WORDS], _fault(values))


def _fault(values: dict[str, Any]) -> str | None:
    size = len(json.dumps(values)) if values else 0
    if size > VALUES_BYTES:
        return f"its values take {size} bytes as JSON; {VALUES_BYTES} are allowed"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return f"`{text[:40]}…`" if len(text) > 40 else f"`{text}`"
