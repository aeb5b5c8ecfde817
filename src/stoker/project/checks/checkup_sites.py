"""Checking the other sites of a project: whether each answers, and what it has and lacks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stoker.errors import NotFound, StokerError
from stoker.project.checks.finding import Finding

if TYPE_CHECKING:
    from stoker.project.opened import Opened

_CLOCK_S = 300.0  # that the clock there may be off before people wonder at times
_LOW_BYTES = 2 * 2**30


def check_sites(project: "Opened") -> Iterator[Finding]:
    """Yield what is found of each site that the file has."""
    for outpost in project.settings.sites:
        yield from _outpost(project, outpost.name)


def _outpost(project: "Opened", name: str) -> Iterator[Finding]:
    from stoker.outpost.dial import Line
    from stoker.outpost.recording import number

    check = f"site {name}"
    outpost = next(one for one in project.settings.sites if one.name == name)
    try:
        store = project.store
        with Line(outpost) as line, store.reading() as unit:
            told = line.ask("hello", {"store": store.identity.uid, "epoch": store.epoch})
            ahead_s = (number(told, "clock_us") - unit.now_us) / 1e6
            free_bytes, bad = number(told, "free_bytes"), number(told, "bad")
            release = str(line.far.get("stoker"))[:40]
            line.ask("bye")
    except NotFound:
        return  # no store yet: the first visit greets it
    except StokerError as error:
        yield Finding(check=check, state="fail", text=str(error), do=f"`ssh {outpost.ssh}` by hand")
        return
    yield Finding(check=check, state="ok", text=f"it answers, with Stoker {release}")
    if abs(ahead_s) > _CLOCK_S:
        yield Finding(
            check=check,
            state="warn",
            text=f"its clock is {ahead_s:+.0f} s off; nothing goes by it but the times of attempts",
            do="set the clock there",
        )
    if free_bytes < _LOW_BYTES:
        gigabytes = free_bytes / 2**30
        yield Finding(
            check=check, state="warn", text=f"{gigabytes:.1f}G are free there", do="make room there"
        )
    if bad:
        yield Finding(
            check=check,
            state="warn",
            text=f"{bad} damaged or odd files were set aside in `{outpost.folder}/spool/bad`",
            do="look at the disk there; they are deleted after 30 days",
        )
