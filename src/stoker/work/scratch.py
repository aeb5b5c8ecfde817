"""Owns the folder of a worker under the scratch root, and the removal of what attempts leave there.

    <root>/<host>-<worker>/
        owner            who this belongs to: host, boot, process, worker, store
        elsewhere        hidden files and folders that the worker makes on other file systems
        <place>/         one for each attempt that can run at a time
            scratch/     the attempt's working directory
            values       STOKER_VALUES, if the attempt wrote it
            reason       STOKER_REASON, likewise
            stdout stderr

Nothing here follows a symbolic link, crosses into another file system, or removes anything that is
not below the folder it was given. What cannot be removed is reported, never ignored silently.
"""

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from stoker.failpoints import hit
from stoker.rights import PRIVATE, Rights

HIDDEN = ".stoker-"  # begins the name of everything that a worker makes beside an output
_OWNER = "owner"
_ELSEWHERE = "elsewhere"
_BETWEEN = "~"  # the parts of a passing name; no host's name has one


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who made a worker's folder. `pid` with `started` (clock ticks after boot) names one process.

    `group` is the folder of the control group that the worker and all it starts are in, if it has
    one of its own.
    """

    host: str
    boot_id: str
    pid: int
    started: int
    worker: int
    store: str
    group: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs; only meaningful on its own host and boot."""
        return process_start(self.pid) == self.started


def boot_id() -> str:
    """Return what names this boot of this host, and which of its processes are seen from here.

    Two containers of one name on one machine share the boot, but not the numbers of processes: what
    one of them sees no process of may live in the other.
    """
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}.{os.stat('/proc/self/ns/pid').st_ino}"


def process_start(pid: int) -> int | None:
    """Return when process `pid` started, in clock ticks after boot; None if it is gone or dead."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = line.rpartition(b")")[2].split()  # the name before may hold anything
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


class WorkerFolder:
    """The folder of one worker. Made with its owner file before anything else is put into it."""

    def __init__(self, root: str, owner: Owner, *, rights: Rights = PRIVATE) -> None:
        self.path = os.path.join(root, f"{owner.host}-{owner.worker}")
        self.rights = rights
        rights.make_folder(root)
        passing = os.path.join(root, _passing_name(owner))
        rights.make_inner_folder(passing)
        hit("folder_made")
        self._elsewhere = -1
        try:
            _write(os.path.join(passing, _OWNER), json.dumps(asdict(owner)).encode(), rights)
            self._elsewhere = rights.open(
                os.path.join(passing, _ELSEWHERE),
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            )
            os.rename(passing, self.path)
        except OSError:
            if self._elsewhere >= 0:
                os.close(self._elsewhere)
            wipe(passing)
            raise
        hit("folder_named")
        self._outstanding = 0
        self._lock = threading.Lock()

    @contextmanager
    def hidden(self, path: str) -> Iterator[None]:
        """While inside, `path` may exist: clearing this folder after a crash removes it too.

        Called by the threads that publish. The caller itself removes or renames what it made.
        """
        self.note_elsewhere(path)
        try:
            yield
        finally:
            self.forget_elsewhere()

    def note_elsewhere(self, path: str) -> None:
        """Remember a hidden path, before it is made."""
        with self._lock:
            entry = os.fsencode(path) + b"\0"
            written = os.write(self._elsewhere, entry)
            if written < len(entry):  # half a name would hide what it was to tell
                os.ftruncate(self._elsewhere, os.fstat(self._elsewhere).st_size - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            self._outstanding += 1

    def forget_elsewhere(self) -> None:
        """One of the noted paths is gone; when all are, the note is emptied."""
        with self._lock:
            self._outstanding -= 1
            if not self._outstanding:
                os.ftruncate(self._elsewhere, 0)

    def remove(self) -> list[str]:
        """Remove the folder and what it noted elsewhere; return what could not be removed."""
        os.close(self._elsewhere)
        return remove_worker_folder(self.path)


def read_owner(folder: str) -> Owner | None:
    """Return who owns a worker's folder; None if it has no owner file that can be read."""
    try:
        return Owner(**json.loads(Path(folder, _OWNER).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _passing_name(owner: Owner) -> str:
    """Return the folder's name while it is made or removed, when it may have no owner file."""
    parts = (owner.store, owner.boot_id, owner.pid, owner.started, owner.worker, owner.host)
    return HIDDEN + _BETWEEN.join(map(str, parts))


def _passing_owner(name: str) -> Owner | None:
    """Return whose passing name this is; None for any other name."""
    parts = name.removeprefix(HIDDEN).split(_BETWEEN, 5)
    if not name.startswith(HIDDEN) or len(parts) != 6:
        return None
    store, boot, pid, started, worker, host = parts
    if not (pid.isdecimal() and started.isdecimal() and worker.isdecimal()):
        return None
    return Owner(
        host=host, boot_id=boot, pid=int(pid), started=int(started), worker=int(worker), store=store
    )


def dead_folders(
    root: str, *, host: str, boot: str, store: str, is_gone: Callable[[int], bool]
) -> Iterator[tuple[str, Owner]]:
    """Yield the folders under `root` that workers of this store and host left when they died.

    Of a folder of another boot, which may be an earlier one, or that of another machine or container
    of the same name, `is_gone` says whether its worker, by its number, is known to be dead. Folders
    of other hosts (the root may be shared) and other stores are not ours to judge, nor are those of
    other accounts, whose processes we could not end.
    """
    try:
        names = os.listdir(root)
    except OSError:
        return
    for name in names:
        folder = os.path.join(root, name)
        owner = _passing_owner(name) or read_owner(folder)
        if owner is None or owner.host != host or owner.store != store:
            continue
        if not _is_ours(folder):
            continue
        if is_gone(owner.worker) if owner.boot_id != boot else not owner.is_alive:
            yield folder, owner


def hosts_in(root: str) -> set[str]:
    """Return the hosts whose workers have folders under `root`."""
    try:
        names = os.listdir(root)
    except OSError:
        return set()
    owners = (_passing_owner(name) or read_owner(os.path.join(root, name)) for name in names)
    return {owner.host for owner in owners if owner is not None}


def _is_ours(folder: str) -> bool:
    """Whether this account could also end what was started there."""
    try:
        return os.geteuid() in (0, os.lstat(folder).st_uid)
    except OSError:
        return False


def clear_dead(
    root: str, *, host: str, boot: str, store: str, is_gone: Callable[[int], bool]
) -> list[str]:
    """Remove what dead workers left under `root`; return what could not be removed."""
    left: list[str] = []
    for folder, _ in dead_folders(root, host=host, boot=boot, store=store, is_gone=is_gone):
        left += remove_worker_folder(folder)
    return left


def remove_worker_folder(folder: str) -> list[str]:
    """Remove a worker's folder and what it noted elsewhere; return what could not be removed."""
    left: list[str] = []
    with suppress(OSError):
        noted = Path(folder, _ELSEWHERE).read_bytes()
        for entry in filter(None, noted.split(b"\0")):
            path = os.fsdecode(entry)
            if os.path.basename(path).startswith(HIDDEN):
                left += wipe(path)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # another worker has cleared it meanwhile
        return left
    for name in names:  # the owner file last: without it nobody would clear the rest
        if name != _OWNER:
            left += wipe(os.path.join(folder, name))
    return left or wipe(_pass_away(folder))


def _pass_away(folder: str) -> str:
    """Give the folder its passing name, so that it can lose its owner file; return its path."""
    owner = read_owner(folder)
    if owner is None:
        return folder
    passing = os.path.join(os.path.dirname(folder), _passing_name(owner))
    with suppress(OSError):
        os.rename(folder, passing)
        hit("folder_passing")
        return passing
    return folder


def _write(path: str, content: bytes, rights: Rights) -> None:
    descriptor = rights.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_scratch(path: str, *, rights: Rights = PRIVATE) -> None:
    """There is an empty folder with these rights at `path`, whatever was there before."""
    if is_pristine(path, rights=rights):
        return
    left = wipe(path)
    if left:
        raise OSError(f"scratch `{left[0]}` of an earlier attempt cannot be removed")
    rights.make_inner_folder(path)
    hit("scratch_made")


def is_pristine(path: str, *, rights: Rights = PRIVATE) -> bool:
    """Whether `path` is an empty folder as `make_scratch` leaves it, fit for the next attempt."""
    try:
        found = os.lstat(path)
        return (
            stat.S_ISDIR(found.st_mode)
            and stat.S_IMODE(found.st_mode) == rights.folder_mode
            and found.st_uid == os.geteuid()
            and not os.listdir(path)
        )
    except OSError:
        return False


def wipe(path: str) -> list[str]:
    """Remove `path` with all below it; return what could not be removed, deepest first.

    However deep the tree, neither stack nor descriptors grow: a folder found below another one is
    first moved up beside it. Another file system mounted inside is left alone and reported.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return []
    except OSError:
        return [path]
    if not stat.S_ISDIR(found.st_mode):
        return _unlink(path)
    left = _Wipe(path, found.st_dev).run()
    return left or _rmdir(path)


def _unlink(path: str) -> list[str]:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return []
    except OSError:
        return [path]
    return []


def _rmdir(path: str) -> list[str]:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return []
    except OSError:
        return [path]
    return []


class _Wipe:
    """The removal of all that is below one folder, flattening it on the way."""

    def __init__(self, top: str, device: int) -> None:
        self._top = top
        self._device = device
        self._moved = 0
        self._left: list[str] = []

    def run(self) -> list[str]:
        """Remove all; return what could not be removed."""
        _open_up(self._top)
        while folders := self._remove_files(self._top):
            before = len(self._left)
            for folder in folders:
                self._flatten(folder)
            if len(self._left) > before:
                break  # what is left would be found again and again
        return self._left

    def _remove_files(self, folder: str) -> list[str]:
        """Remove the files in `folder`; return its folders."""
        folders: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        self._left += _unlink(entry.path)
        except FileNotFoundError:  # somebody else clears it too
            pass
        except OSError:
            self._left.append(folder)
        return folders

    def _is_here(self, folder: str) -> bool:
        """Whether the folder exists, on this file system; another one's is left as it is."""
        try:
            is_here = os.lstat(folder).st_dev == self._device
        except OSError:
            return False
        if not is_here:
            self._left.append(folder)
        return is_here

    def _flatten(self, folder: str) -> None:
        """Remove `folder`, a child of the top, after moving the folders in it up beside it."""
        if not self._is_here(folder):
            return
        _open_up(folder)
        for inner in self._remove_files(folder):
            if not self._is_here(inner):
                continue
            _open_up(inner)
            self._moved += 1
            try:
                os.rename(inner, os.path.join(self._top, f".wiped-{os.getpid()}-{self._moved}"))
            except OSError:
                self._left.append(inner)
        with suppress(OSError):
            os.rmdir(folder)


def _open_up(folder: str) -> None:
    """Our own folder can be listed and changed, if its attempt took the rights away."""
    with suppress(OSError):
        if stat.S_IMODE(os.lstat(folder).st_mode) & 0o700 != 0o700:
            os.chmod(folder, 0o700)
