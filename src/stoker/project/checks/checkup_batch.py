"""Checking the batch systems of a project: whether they answer, and how their nodes will get on."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import NotFound, Unavailable
from stoker.project.checks.finding import Finding
from stoker.spec.file_systems import NETWORK_FILE_SYSTEMS, file_system_of

if TYPE_CHECKING:
    from stoker.batch.visit import Visitor
    from stoker.project.opened import Opened

PER_PILOT = 2  # connections to the store
_KILL_WAIT_S = 15.0  # with less, what runs gets hardly any time to end
_OURS = re.compile(r"stoker_(?:[a-z0-9]+_)?([a-z0-9]{10})")


def check_batch(project: "Opened") -> Iterator[Finding]:
    """Yield what is found of each batch system, and of what they all need."""
    from stoker.project.verbs.batch import Batch

    systems = project.settings.batch
    if not systems:
        return
    yield from _store(project)
    yield from _folder(project)
    for visitor in Batch(project).visitors.values():
        yield from _system(project, visitor)


def _store(project: "Opened") -> Iterator[Finding]:
    """The nodes have to reach the store, all at once."""
    own = project.settings
    most = sum(one.max_pilots for one in own.batch)
    if own.store_url.startswith("sqlite"):
        yield Finding(
            check="batch store",
            state="fail",
            text="the store is an SQLite file of this host, which pilots on other hosts cannot use",
            do="use PostgreSQL or MariaDB; `stoker store copy` moves a store there",
        )
        return
    if own.own_secrets:
        names = ", ".join(f"`{name}`" for name in own.own_secrets)
        yield Finding(
            check="batch store",
            state="warn",
            text=f"`[store] url` needs {names}; a batch job does not get your environment",
            do="use `password_file`, or set it in `prepare` of the batch system",
        )
    from stoker.store.database.integrity import most_connections

    allowed = None
    with suppress(NotFound):
        allowed = most_connections(project.store)
    if allowed is not None:
        needed = PER_PILOT * most
        text = f"the store's server allows {allowed} connections; {most} pilots need {needed}"
        is_enough = needed <= allowed - 10
        yield Finding(
            check="batch connections",
            state="ok" if is_enough else "warn",
            text=text,
            do=None if is_enough else "raise its `max_connections`, or lower `max_pilots`",
        )


def _folder(project: "Opened") -> Iterator[Finding]:
    """Scripts and logs are in the project's folder, which all nodes have to see."""
    folder = Path(project.settings.folder)
    kind = file_system_of(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Finding(check="batch folder", state="ok", text=f"{folder} is on {kind}")
        return
    yield Finding(
        check="batch folder",
        state="warn",
        text=f"{folder} is on {kind or 'an unknown file system'}; the nodes have to see it, too",
        do="`stoker batch try NAME` finds out",
    )


def _system(project: "Opened", visitor: "Visitor") -> Iterator[Finding]:
    name, system = visitor.settings.name, visitor.system
    check = f"batch {name}"
    try:
        limits = system.limits()
        foreign = _foreign(project, system.own_names())
    except Unavailable as error:
        yield Finding(
            check=check,
            state="fail",
            text=f"{system.title} does not answer: {error}",
            do="its commands have to be on PATH here, or `ssh` has to name a host that has them",
        )
        return
    parts = [f"{limits.version or system.title} answers"]
    if limits.has_accounting is False:
        parts.append("without accounting, so that how a job ended is known for a while only")
    state, do = "ok", None
    if limits.kill_wait_s is not None:
        parts.append(f"{limits.kill_wait_s:.0f} s between TERM and KILL")
        if limits.kill_wait_s < _KILL_WAIT_S:
            state, do = "warn", "its administrator may raise `KillWait` to 30"
    yield Finding(check=check, state=state, text="; ".join(parts), do=do)
    if foreign:
        shown = ", ".join(f"{job} ({name})" for name, job in foreign[:5])
        yield Finding(
            check=check,
            state="warn",
            text=f"{len(foreign)} jobs have a pilot's name and are not of this store: {shown}",
            do="they belong to another project, or to a store before this one; cancel them if not",
        )


def _foreign(project: "Opened", jobs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the jobs with a pilot's name that the store does not know."""
    from stoker.store.pilots.pilots import known_uids

    named = {
        found[1]: (name, job) for name, job in jobs if (found := _OURS.fullmatch(name)) is not None
    }
    if not named:
        return []
    try:
        with project.store.reading() as unit:
            known = known_uids(unit, list(named))
    except NotFound:
        known = set()
    return [job for uid, job in sorted(named.items()) if uid not in known]
