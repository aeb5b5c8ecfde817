"""Texts of pages: CommonMark without HTML, sizes, and times as people read them."""

import functools
from typing import TYPE_CHECKING

from markupsafe import Markup

from stoker.model.states import ItemState
from stoker.store.reports.outlook import Outlook, Usual

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# A shape and a word for each state, so that colour alone says nothing.
SHAPES = {
    ItemState.WAITING: ("ready", "◌", "waiting"),
    ItemState.RUNNING: ("running", "◐", "running"),
    ItemState.DONE: ("done", "●", "done"),
    ItemState.FAILED: ("failed", "✕", "failed"),
    ItemState.HELD: ("held", "⏸", "held"),
    ItemState.CANCELLED: ("cancelled", "⊘", "cancelled"),
    ItemState.QUARANTINED: ("quarantined", "⚠", "not accepted yet"),
}


@functools.cache
def _parser() -> "MarkdownIt":
    """A page asks other hosts for nothing: pictures of other places are shown as their text."""
    from markdown_it import MarkdownIt  # the report, which needs no service, has no such texts

    return MarkdownIt("commonmark", {"html": False}).disable("image")


def rendered(text: str) -> Markup:
    """Return CommonMark as HTML; what looks like HTML in it is text."""
    return Markup(_parser().render(text))  # noqa: S704  # the parser escapes all HTML


def size_words(size_bytes: float) -> str:
    """Return a size as people write it: `12 kB`, `3.4 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            break
        size_bytes /= 1000
    shown = f"{size_bytes:.0f}" if unit == "bytes" or size_bytes >= 10 else f"{size_bytes:.1f}"
    return f"{shown} {unit}"


def time_words(seconds: float) -> str:
    """Return a time as people say it: `40 s`, `3 min`, `2 h 10 min`, `14 days`."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def usual_words(usual: Usual) -> str:
    """Return what to expect of a pipeline: `usually 40 s, 9 of 10 under 3 min; 4 jobs wait`."""
    made = []
    if usual.typical_s is not None and usual.most_s is not None:
        typical, most = time_words(usual.typical_s), time_words(max(usual.most_s, usual.typical_s))
        made.append(f"usually {typical}" + (f", 9 of 10 under {most}" if most != typical else ""))
    if usual.waiting:
        made.append("1 job waits" if usual.waiting == 1 else f"{usual.waiting:,} jobs wait")
    return "; ".join(made)


def place_words(outlook: Outlook) -> str:
    """Return a job's place in the queue as a sentence; nothing for one that is not in it."""
    if outlook.place is None:
        return ""
    before = outlook.place - 1
    if before == 0:
        return "It is next."
    return f"{'More than ' if outlook.is_far else ''}{before:,} {'is' if before == 1 else 'are'} before it."
