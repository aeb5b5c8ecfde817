"""Checking an installation: what may go wrong here, and what to do about it.

Every check stands alone: one that cannot be made is itself a finding, and the rest goes on.
"""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import StokerError
from stoker.project.checks.checkup_batch import check_batch
from stoker.project.checks.checkup_sites import check_sites
from stoker.project.checks.finding import Finding

if TYPE_CHECKING:
    from stoker.project.opened import Opened

LOW_BYTES = 2 * 2**30
VERY_LOW_BYTES = 200 * 2**20
LOW_INODES = 10_000
SKEW_S = 2.0
MANY_LOGS = 100_000


def check_up(project: "Opened") -> list[Finding]:
    """Return what every check found, in order."""
    checks: tuple[Callable[[Opened], Iterator[Finding]], ...] = (
        _versions,
        _file,
        _store_place,
        _room,
        _rights,
        _privacy,
        _clock,
        _database,
        _extent,
        _notices,
        _containment,
        check_batch,
        check_sites,
    )
    found: list[Finding] = []
    for check in checks:
        try:
            found += check(project)
        except (StokerError, OSError) as error:
            name = check.__name__.strip("_").removeprefix("check_").replace("_", " ")
            found.append(Finding(check=name, state="fail", text=str(error)))
    return found


def _versions(_project: "Opened") -> Iterator[Finding]:
    from stoker.store.database.integrity import sqlite_version

    text = (
        f"Stoker {metadata.version('stoker')}, Python {platform.python_version()}, {sys.executable}"
    )
    yield Finding(check="versions", state="ok", text=text)
    version, is_new_enough = sqlite_version()
    yield Finding(
        check="sqlite",
        state="ok" if is_new_enough else "fail",
        text=f"SQLite {version}",
        do=None if is_new_enough else "install a Python with SQLite 3.35 or newer",
    )


def _file(project: "Opened") -> Iterator[Finding]:
    problems = project.loaded.problems
    yield Finding(
        check="project",
        state="fail" if problems else "ok",
        text=f"{project.file}: {', '.join(project.pipelines) or 'no pipeline'}"
        + ("; others have problems" if problems else ""),
        do="`stoker check` lists them" if problems else None,
    )


def _store_path(project: "Opened") -> Path | None:
    """Return the store's file; None for a database server."""
    scheme, _, rest = project.settings.store_url.partition(":///")
    return Path(rest) if scheme == "sqlite" else None


def _folders(project: "Opened") -> dict[str, Path]:
    """Return the folders that Stoker writes to, by what they are for, as far as they exist."""
    store = _store_path(project)
    folders = {"store": store.parent if store is not None else Path(project.settings.folder)}
    scratch = project.settings.worker.scratch
    if scratch is not None:
        folders["scratch"] = Path(scratch)
    return {name: _existing(path) for name, path in folders.items()}


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _store_place(project: "Opened") -> Iterator[Finding]:
    from stoker.spec.file_systems import NETWORK_FILE_SYSTEMS, file_system_of

    path = _store_path(project)
    if path is None:
        return
    kind = file_system_of(_existing(path.parent))
    is_network = kind in NETWORK_FILE_SYSTEMS
    yield Finding(
        check="file system",
        state="fail" if is_network else "ok",
        text=f"the store is on {kind or 'an unknown file system'} ({path})",
        do="set `[store] url` to a path on a local disk of one host" if is_network else None,
    )


def _room(project: "Opened") -> Iterator[Finding]:
    for name, folder in _folders(project).items():
        free = shutil.disk_usage(folder).free
        inodes = os.statvfs(folder).f_favail
        total_inodes = os.statvfs(folder).f_files
        state = "fail" if free < VERY_LOW_BYTES else "warn" if free < LOW_BYTES else "ok"
        text = f"{free / 2**30:.1f}G free for the {name} in {folder}"
        if total_inodes and inodes < LOW_INODES:
            state, text = "warn", f"{text}, but only {inodes:,} more files"
        yield Finding(
            check="disk", state=state, text=text, do="make room there" if state != "ok" else None
        )


def _rights(project: "Opened") -> Iterator[Finding]:
    for name, folder in _folders(project).items():
        may = os.access(folder, os.W_OK | os.X_OK)
        yield Finding(
            check="rights",
            state="ok" if may else "fail",
            text=f"{'may' if may else 'may not'} write the {name} in {folder}",
            do=None if may else "let this account write there, or set another place",
        )


def _privacy(project: "Opened") -> Iterator[Finding]:
    from stoker.project.checks.privacy import left_open

    found = left_open(project.settings)
    for text, remedy in found:
        yield Finding(check="privacy", state="warn", text=text, do=remedy)
    if not found:
        yield Finding(check="privacy", state="ok", text="nobody else can get at the record")


def _clock(project: "Opened") -> Iterator[Finding]:
    """The host's clock against that of the file system, which may be another host's."""
    folder = _folders(project)["store"]
    probe = folder / f".stoker-clock-{os.getpid()}"
    try:
        probe.touch()
        skew_s = probe.stat().st_mtime - time.time()
    finally:
        probe.unlink(missing_ok=True)
    is_right = abs(skew_s) < SKEW_S and time.gmtime().tm_year >= 2024
    yield Finding(
        check="clock",
        state="ok" if is_right else "warn",
        text=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        + ("" if is_right else f", {skew_s:+.1f} s off from the disk's"),
        do=None if is_right else "set the clock (NTP); leases and times in the record go by it",
    )


def _database(project: "Opened") -> Iterator[Finding]:
    from stoker.store.database.integrity import quick_check

    path = _store_path(project)
    if path is not None and not path.exists():
        yield Finding(check="store", state="ok", text="there is no store yet")
        return
    problems = quick_check(project.store)
    is_whole = "the database is whole" if path is not None else "the database answers"
    yield Finding(
        check="store",
        state="fail" if problems else "ok",
        text="; ".join(problems[:3]) if problems else is_whole,
        do="stop all workers and restore the store from a backup" if problems else None,
    )


def _extent(project: "Opened") -> Iterator[Finding]:
    """What the store, the logs and the scratch take; quick, since only files are looked at."""
    from stoker.store.database.disk_usage import file_bytes, weigh
    from stoker.work.leftovers import scratch_root
    from stoker.work.store_link import StoreLink

    path = _store_path(project)
    if path is not None and not path.exists():
        return
    store = project.store
    parts = [f"{_human(size)} in {name}" for name, size in file_bytes(store).items()]
    files, size_bytes = weigh(str(store.folder / "logs"))
    parts.append(f"{_human(size_bytes)} in {files:,} logs")
    parts.append(f"{_human(weigh(scratch_root(StoreLink(store), project.settings))[1])} in scratch")
    forever = project.settings.retention.is_nothing
    kept = "all of it is kept for ever" if forever else "`[retention]` bounds it"
    yield Finding(
        check="size",
        state="ok",
        text=f"{', '.join(parts)}; {kept}",
        do="set in `[retention]` how long each kind is kept"
        if forever and files > MANY_LOGS
        else None,
    )


def _human(size: int) -> str:
    for unit in ("B", "K", "M"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size //= 1024
    return f"{size}G"


def _notices(project: "Opened") -> Iterator[Finding]:
    from stoker.intake.notices import refusal

    sources = [source for one in project.pipelines.values() for source in one.sources]
    watched = [Path(source.folder) for source in sources if source.folder is not None]
    folder = next((folder for folder in watched if folder.is_dir()), None)
    if folder is None:
        return
    why = refusal(folder)
    if why is None:
        text = "the kernel reports new files in watched folders at once"
        yield Finding(check="notices", state="ok", text=text)
        return
    yield Finding(
        check="notices",
        state="warn",
        text=f"the kernel does not report new files in {folder} ({why}): they are found by looking, "
        "and one that is renamed into place waits until it has settled, as others do",
        do="end what else watches many folders, or raise `fs.inotify.max_user_instances` and "
        "`fs.inotify.max_user_watches` with `sysctl`",
    )


def _containment(_project: "Opened") -> Iterator[Finding]:
    from stoker.work import cgroups

    yield Finding(
        check="processes",
        state="ok",
        text="what an attempt leaves running is found and ended, also when its worker is killed "
        "(child subreaper, marks in the environment and in a limit)",
    )
    folder = cgroups.own_folder()
    if cgroups.can_be_used():
        text = (
            f"control groups can be made in {folder}: a worker and all it starts are ended as a "
            "whole, whatever hides"
        )
    else:
        where = "there are none of version 2 here" if folder is None else f"{folder} is not ours"
        text = (
            f"no control groups ({where}): what sheds its environment and its limits is not found if "
            "worker and warden are killed together"
        )
    yield Finding(check="cgroups", state="ok", text=text)
