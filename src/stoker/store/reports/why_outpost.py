"""Why a task of a step that runs at an outpost does not run, or where it is while it is out."""

from stoker.store.outposts.entries import Entry, entries
from stoker.store.story_rows import Said
from stoker.store.times import moment
from stoker.store.unit import Unit

_LATE_US = 5 * 60_000_000  # without an answer, which is then said


def outpost(unit: Unit, name: str) -> Entry | None:
    """Return the outpost of that name, if the store has it."""
    return next((one for one in entries(unit, everything=True) if one.name == name), None)


def before_it(unit: Unit, name: str) -> Said | None:
    """Return what keeps work from going to the outpost at all; None if nothing does."""
    one = outpost(unit, name)
    if one is None or one.is_removed:
        return Said("site", f"it runs at `{name}`, which the file no longer has")
    if one.held_by is not None:
        why = f": {one.reason}" if one.reason else ""
        release = f"`stoker site release {name}` lets it go on"
        return Said("site_held", f"it runs at `{name}`, which {one.held_by} holds{why}", release)
    if one.trouble is not None:
        visit = f"`stoker site visit {name}` tries now"
        return Said("site_silent", f"it runs at `{name}`, which {_silence(one)}", visit)
    if one.worker_id is None:
        visit = f"`stoker up` visits it by itself, `stoker site visit {name}` now"
        return Said("site", f"it runs at `{name}`, which has not been visited yet", visit)
    return None


def to_be_sent(name: str) -> Said:
    """Return what is said of a task that nothing keeps back but the next visit."""
    visit = f"`stoker up` visits it by itself, `stoker site visit {name}` now"
    return Said("site", f"it goes to `{name}` with one of the next visits", visit)


def while_out(unit: Unit, name: str, attempt: bytes, since: str, node: str | None) -> Said:
    """Return where an attempt is that is out at an outpost."""
    one = outpost(unit, name)
    if one is None or one.answered_us is None:
        return Said("out", f"it is out at `{name}` since {since}")
    waits = attempt.hex() in one.told.get("todo", ())
    there = "waits there" if waits else f"runs there{f' on {node}' if node else ''}, or has ended"
    text = f"it is out at `{name}` since {since}, and {there}"
    if one.trouble is not None or unit.now_us - one.answered_us > _LATE_US:
        text += f"; `{name}` {_silence(one)}; nothing is lost, its results are kept there"
        visit = f"`stoker site visit {name}` tries now; `stoker site drop {name}` gives up what is there"
        return Said("out_silent", text, visit)
    return Said("out", f"{text}, as of {_clock(one.answered_us)}")


def _silence(one: Entry) -> str:
    since = f"since {_day_and_time(one.answered_us)}" if one.answered_us else "so far"
    why = f": {one.trouble}" if one.trouble else ""
    return f"has not answered {since}{why}"


def _clock(at_us: int) -> str:
    return moment(at_us).astimezone().strftime("%H:%M:%S")


def _day_and_time(at_us: int) -> str:
    return moment(at_us).astimezone().strftime("%Y-%m-%d %H:%M")
