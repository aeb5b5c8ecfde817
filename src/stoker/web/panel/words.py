"""How states, counts, times and texts from outside look on the pages and in the report."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from stoker.model.words import visible


class Look(NamedTuple):
    """How a state looks: the name of its colour, its shape and its word; colour alone says nothing."""

    colour: str
    shape: str
    word: str


_PAUSE = "\u2016"  # two bars; few fonts have the sign of a pause
LOOKS: Mapping[str, Look] = {
    one.word.replace(" ", "_"): one
    for one in (
        Look("running", "◐", "running"),
        Look("failed", "✕", "failed"),
        Look("held", _PAUSE, "held"),
        Look("ready", "◌", "ready"),
        Look("ready", "◌", "waiting"),
        Look("blocked", "▢", "blocked"),
        Look("done", "●", "done"),
        Look("done", "●", "succeeded"),
        Look("skipped", "◇", "skipped"),
        Look("cancelled", "⊘", "cancelled"),
        Look("quarantined", "⚠\ufe0e", "quarantined"),
        Look("failed", "✕", "timed out"),
        Look("failed", "✕", "out of memory"),
        Look("cancelled", "⊘", "lost"),
    )
}
# From the left to the right of a bar, and in every list of counts.
ITEM_ORDER = ("done", "running", "waiting", "held", "failed", "quarantined", "cancelled")
TASK_ORDER = ("done", "skipped", "running", "ready", "blocked", "held", "failed", "cancelled")
_WIDE, _LEAST = 1000.0, 5.0  # of a bar, and of each part that is not empty


def look_of(state: str) -> Look:
    """Return how the state looks."""
    return LOOKS[state]


def clean(value: Any) -> Any:
    """Return a text with its control characters as escapes, and everything else as it is.

    All that a template writes goes through here. A text of several lines is written by `lines`.
    """
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


class Part(NamedTuple):
    """A part of a bar: how it looks, how many it stands for, and where it is drawn."""

    look: Look
    n: int
    x: float
    width: float


def bar(counts: Mapping[str, int], order: tuple[str, ...]) -> list[Part]:
    """Return the parts of a bar of 1,000 units: each as wide as its share, and none invisible."""
    present = [(word, counts[word]) for word in order if counts.get(word)]
    total = sum(n for _, n in present)
    raw = [max(_WIDE * n / total, _LEAST) for _, n in present]
    scale, x, parts = _WIDE / sum(raw) if raw else 1.0, 0.0, []
    for (word, n), width in zip(present, raw, strict=True):
        parts.append(Part(LOOKS[word], n, round(x, 2), round(width * scale, 2)))
        x += width * scale
    return parts


def counts_of(counts: Mapping[str, int], order: tuple[str, ...]) -> list[tuple[str, Look, int]]:
    """Return the states that something is in, with how they look and how many."""
    return [(word, LOOKS[word], counts[word]) for word in order if counts.get(word)]


def number(n: int) -> str:
    """Return a count with its groups: `277,592`."""
    return f"{n:,}"


def plural(n: int, noun: str, several: str | None = None) -> str:
    """Return `1 task`, `2 tasks`, `no task`."""
    if n == 0:
        return f"no {noun}"
    return f"{n:,} {noun if n == 1 else several or noun + 's'}"


def span(seconds: float | None) -> str:
    """Return a time as people say it: `9 ms`, `1.4 s`, `3 min`, `2 h 10 min`, `14 days`."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def ago(at: datetime, now: datetime) -> Markup:
    """Return a moment as how long ago it was, with the moment itself in UTC behind it."""
    past_s = (now - at).total_seconds()
    said = (
        "just now"
        if abs(past_s) < 1
        else f"in {span(-past_s)}"
        if past_s < 0
        else f"{span(past_s)} ago"
    )
    return _time(at, said)


def moment(at: datetime) -> Markup:
    """Return a moment in UTC, to the second; pages with JavaScript show it in the viewer's zone."""
    exact = at.astimezone(UTC)
    return Markup('<time datetime="{}" data-moment>{}</time>').format(
        exact.isoformat(timespec="seconds"), f"{exact:%Y-%m-%d %H:%M:%S} UTC"
    )


def _time(at: datetime, said: str) -> Markup:
    exact = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact.isoformat(timespec="seconds"), f"{exact:%Y-%m-%d %H:%M:%S} UTC", said
    )


def code(text: str) -> Markup:
    """Return a sentence whose words between backticks are code."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # one backtick too many: nothing can be distinguished
        return escape(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)
    )
