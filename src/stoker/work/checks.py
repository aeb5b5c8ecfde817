"""Owns what an attempt's end means: pure functions from what was seen to state, verdict and reason.

Order of the rules: an order to stop, a limit, a signal, the exit code, the error markers, the
values, the outputs. The *reason* is one line for people about this attempt; the *cause* is what
`failures` groups by, so that equal failures of different items read alike.
"""

import re
import signal as signals
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from stoker.model.patterns import compiled
from stoker.model.pipeline import Step, Verdict
from stoker.model.states import AttemptState
from stoker.model.words import shown

CAUSE_LIMIT = 200  # characters
_LONG = 4096  # characters, of a line that is shown
_IS_OF_WHOLE = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-")  # in a pattern: it may fit a line, and no whole
_LAST_LINES = 50  # of stderr, looked at for an exception or last words


class Ending(NamedTuple):
    """What an attempt's end means: the state it ends in, what follows, and why."""

    state: AttemptState
    verdict: Verdict
    reason: str | None = None
    cause: str | None = None
    is_cut: bool = False  # by the end of a worker that had given it much of its whole time


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was seen of an attempt. `stopped` is why the worker itself killed it, if it did.

    `problem` is what went wrong around the process: it could not start, its values are no JSON. What
    stopped it rules over everything, `problem` only over a process that ended well.
    """

    exit_code: int | None = None
    signal: int | None = None
    stopped: Ending | None = None
    problem: str | None = None
    error: str | None = None  # the exception that a python step raised
    stated: str | None = None  # the line in STOKER_REASON
    stdout: bytes = b""
    stderr: bytes = b""


def classify(step: Step, facts: Facts, *, key: str = "") -> Ending:
    """Return what the end of an attempt of `step` means. Pure: the same facts, the same ending."""
    if facts.stopped is not None:
        return facts.stopped
    verdict, how = _outcome(step, facts)
    if verdict in (Verdict.LATER, Verdict.RETRY, Verdict.FAIL):
        return _failure(step, facts, how, key, verdict=verdict)
    marker = find_marker(step.error_markers, facts)
    if marker is not None:
        return _failure(step, facts, f"error marker in the output: {marker}", key, marker=marker)
    if facts.problem is not None:
        return Ending(
            AttemptState.FAILED,
            Verdict.RETRY,
            facts.problem,
            _known_cause(step, facts) or normalise(facts.problem, key),
        )
    return Ending(AttemptState.SUCCEEDED, verdict)


def too_much_memory(used_bytes: int, limit_bytes: int, how: str = "") -> Ending:
    """Return the ending of an attempt that took more memory than its step has."""
    mib = 1024 * 1024
    reason = f"it took {used_bytes / mib:.0f} MiB of memory and has {limit_bytes / mib:.0f} MiB"
    reason += f" ({how})" if how else ""
    return Ending(AttemptState.OUT_OF_MEMORY, Verdict.RETRY, reason, "memory limit reached")


def _outcome(step: Step, facts: Facts) -> tuple[Verdict, str]:
    """Return what the way in which the process or the call ended means, and what to call it."""
    if facts.signal is not None:
        return Verdict.RETRY, f"killed by signal {signal_name(facts.signal)}"
    if facts.error is not None:
        return Verdict.RETRY, facts.error
    if facts.exit_code is None:
        return Verdict.DONE, ""
    otherwise = Verdict.RETRY if facts.exit_code else Verdict.DONE
    return step.exits.get(facts.exit_code, otherwise), f"exit code {facts.exit_code}"


def _failure(
    step: Step,
    facts: Facts,
    how: str,
    key: str,
    *,
    verdict: Verdict = Verdict.RETRY,
    marker: str | None = None,
) -> Ending:
    """Return a failed ending whose reason and cause come from the most telling thing there is."""
    words = marker or facts.error or _last_words(facts.stderr)
    is_said = words is None or words in how
    reason = _one_line(facts.stated or (how if is_said else f"{how}: {words}"))
    cause = reason[:CAUSE_LIMIT] if facts.stated else normalise(words, key) if words else how
    return Ending(AttemptState.FAILED, verdict, reason, _known_cause(step, facts) or cause)


def _known_cause(step: Step, facts: Facts) -> str | None:
    """Return the `say` of the first entry of `causes` whose `match` is found; None without."""
    if not step.causes:
        return None
    text = "\n".join(
        (
            facts.stated or "",
            facts.problem or "",
            facts.stderr.decode("utf-8", "replace"),
            facts.stdout.decode("utf-8", "replace"),
        )
    )
    for cause in step.causes:
        if compiled(cause.match, flags="m").finds(text):
            return cause.say
    return None


def find_marker(markers: tuple[str, ...], facts: Facts) -> str | None:
    """Return the first line, of stderr and then of stdout, in which a marker is found."""
    if not markers or not (facts.stderr or facts.stdout):
        return None
    for text in (facts.stderr, facts.stdout):
        whole = text.replace(b"\r", b"\n").decode("utf-8", "replace").encode()
        likely = [
            compiled(marker, flags="m")
            for marker in markers
            if _IS_OF_WHOLE.search(marker) or compiled(marker, flags="m").finds(whole)
        ]  # most output has none, and is not taken apart for that
        for line in _lines(text) if likely else ():
            if any(pattern.finds(line) for pattern in likely):
                return _one_line(line[:_LONG])
    return None


def _lines(text: bytes) -> Iterator[str]:
    for line in text.splitlines():
        yield line.decode("utf-8", "replace")


def signal_name(number: int) -> str:
    """Return the signal's name; its number where it has none."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return str(number)


_CLASS = r"[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit)\b"
_EXCEPTION = re.compile(rf"^(?:\w+\.)*{_CLASS}(?::.*)?$")
_MODULE = re.compile(rf"^(?:\w+\.)+(?={_CLASS})")


def _last_words(stderr: bytes) -> str | None:
    """Return the exception's line among the last lines of stderr, else its last line."""
    lines = [line.strip() for line in _lines(stderr[-16384:])][-_LAST_LINES:]
    lines = [line for line in lines if line]
    for line in reversed(lines):
        if _EXCEPTION.match(line):
            return _one_line(line)
    return _one_line(lines[-1]) if lines else None


# What differs between two equal failures, most specific first.
_VARIABLE = (
    re.compile(r"\b0x[0-9a-fA-F]+\b"),
    re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"),
    re.compile(r"(?:(?<=^)|(?<=[\s'\"`(=\[:]))(?:~|\.{1,2})?/[^\s'\"`:,;)\]]+"),
    re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"),
    re.compile(r"(?<![A-Za-z_])[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"),
)
_REPEATED = re.compile(r"…(?:[\s,]*…)+")


def normalise(text: str, key: str = "") -> str:
    """Return `text` with `…` for what is this item's own: its key, paths, numbers, addresses.

    An exception is named without its module, which says nothing to people and is in the traceback.
    """
    line = _MODULE.sub("", _one_line(text))
    for own in _names_of(key):
        line = line.replace(own, "…")
    for pattern in _VARIABLE:
        line = pattern.sub("…", line)
    return _REPEATED.sub("…", line)[:CAUSE_LIMIT]


@lru_cache(maxsize=64)
def _names_of(key: str) -> tuple[str, ...]:
    """Return the forms in which a key appears in messages, longest first; short ones mean nothing."""
    name = key.rpartition("/")[2]
    stem = name.partition(".")[0]
    return tuple(form for form in dict.fromkeys((key, name, stem)) if len(form) > 3)


def _one_line(text: str) -> str:
    """Return `text` on one line of bearable length, without control characters."""
    line = " ".join(shown(text).split())
    line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= 500 else line[:499] + "…"
