"""Owns what an attempt's end means: pure functions from what was seen to state, verdict and reason.

Order of the rules: an order to stop, a limit, a signal, the exit code, the error markers, the
values, the outputs. The *reason* is one line for people about this attempt; the *cause* is what
`failures` groups by, so that equal failures of different items read alike.
"""

import re
import signal as signals
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from stoker.model.patterns import compiled
from stoker.model.pipeline import Step, Verdict
from stoker.model.states import AttemptState
from stoker.model.words import shown, without_terminal
from stoker.work.exit import Exit

CAUSE_LIMIT = 200  # characters
_LONG = 4096  # characters, of a line that is shown
_IS_OF_WHOLE = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-")  # in a pattern: it may fit a line, and no whole
_PLACE = re.compile(r"([a-z][a-z0-9_]*): line \d+: ")
_LAST_LINES = 50  # of stderr, looked at for an exception or last words


class Ending(NamedTuple):
    """What an attempt's end means: the state it ends in, what follows, and why."""

    state: AttemptState
    verdict: Verdict
    reason: str | None = None
    cause: str | None = None
    is_cut: bool = False  # by the end of a worker that had given it much of its whole time


def classify(step: Step, end: Exit, *, stopped: Ending | None = None, key: str = "") -> Ending:
    """Return what the end of an attempt of `step` means. Pure: the same exit, the same ending.

    `stopped` is why the worker itself killed it, if it did: that rules over everything. The exit's
    `problem` rules only over a process that ended well.
    """
    if stopped is not None:
        return stopped
    verdict, how = _outcome(step, end)
    if verdict in (Verdict.LATER, Verdict.RETRY, Verdict.FAIL):
        return _failure(step, end, how, key, verdict=verdict)
    marker = find_marker(step.error_markers, end)
    if marker is not None:
        return _failure(step, end, f"error marker in the output: {marker}", key, marker=marker)
    if end.problem is not None:
        return Ending(
            AttemptState.FAILED,
            Verdict.RETRY,
            end.problem,
            _known_cause(step, end) or normalise(end.problem, key),
        )
    return Ending(AttemptState.SUCCEEDED, verdict)


def too_much_memory(used_bytes: int, limit_bytes: int, how: str = "") -> Ending:
    """Return the ending of an attempt that took more memory than its step has."""
    mib = 1024 * 1024
    reason = f"it took {used_bytes / mib:.0f} MiB of memory and has {limit_bytes / mib:.0f} MiB"
    reason += f" ({how})" if how else ""
    return Ending(AttemptState.OUT_OF_MEMORY, Verdict.RETRY, reason, "memory limit reached")


def _outcome(step: Step, end: Exit) -> tuple[Verdict, str]:
    """Return what the way in which the process or the call ended means, and what to call it."""
    if end.signal is not None:
        return Verdict.RETRY, f"killed by signal {signal_name(end.signal)}"
    if end.error is not None:
        return Verdict.RETRY, end.error
    if end.exit_code is None:
        return Verdict.DONE, ""
    otherwise = Verdict.RETRY if end.exit_code else Verdict.DONE
    return step.exits.get(end.exit_code, otherwise), f"exit code {end.exit_code}"


def _failure(
    step: Step,
    end: Exit,
    how: str,
    key: str,
    *,
    verdict: Verdict = Verdict.RETRY,
    marker: str | None = None,
) -> Ending:
    """Return a failed ending whose reason and cause come from the most telling thing there is."""
    words = marker or end.error or _last_words(end.stderr.text)
    if words is not None and marker is None:
        words = _without_place(words, step.name)
    is_said = words is None or words in how
    reason = _one_line(end.stated or (how if is_said else f"{how}: {words}"))
    cause = reason[:CAUSE_LIMIT] if end.stated else normalise(words, key) if words else how
    return Ending(AttemptState.FAILED, verdict, reason, _known_cause(step, end) or cause)


def _without_place(words: str, step: str) -> str:
    """Return what bash says of a step's text, without `STEP: line 3: `, which differs without need."""
    found = _PLACE.match(words)
    is_own = found is not None and found[1] == step and found.end() < len(words)
    return words[found.end() :] if found is not None and is_own else words


def _known_cause(step: Step, end: Exit) -> str | None:
    """Return the `say` of the first entry of `causes` whose `match` is found; None without."""
    if not step.causes:
        return None
    text = "\n".join(
        (
            end.stated or "",
            end.problem or "",
            end.stderr.text.decode("utf-8", "replace"),
            end.stdout.text.decode("utf-8", "replace"),
        )
    )
    for cause in step.causes:
        if compiled(cause.match, flags="m").finds(text):
            return cause.say
    return None


def find_marker(markers: tuple[str, ...], end: Exit) -> str | None:
    """Return the first line, of stderr and then of stdout, in which a marker is found."""
    if not markers or not (end.stderr.size_bytes or end.stdout.size_bytes):
        return None
    for text in (end.stderr.text, end.stdout.text):
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
    lines = [without_terminal(line).strip() for line in _lines(stderr[-16384:])][-_LAST_LINES:]
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
    re.compile(r"(?<![A-Za-z0-9])[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?"),
)
# Digits after letters count and name things; in these words they say what kind of thing it is.
_COUNTED = re.compile(
    r"\b(?:utf|int|uint|float|complex|sha|md|crc|base|mp|h|hdf|x|python|py|libc|cuda|fp|e)_?\d+\b|"
    r"(?<=[A-Za-z])(\d+)",
    re.IGNORECASE,
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
    line = _COUNTED.sub(lambda found: found[0] if found[1] is None else "…", line)
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
