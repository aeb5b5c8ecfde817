"""The script of a pilot's job, and the folder in which scripts and their output are."""

import os
import shlex
import stat
import time
from collections.abc import Sequence
from contextlib import suppress

from stoker.batch.runner import last_words
from stoker.batch.system import Ask
from stoker.failpoints import hit
from stoker.model.batch import BatchSystem
from stoker.rights import Rights

KEPT_LOGS = 20  # of pilots that are over, the newest; those of others that failed for longer
FAILED_S = 7 * 86_400.0
_TAIL_BYTES = 4096
_MOST_LOG = 1 << 20  # that is shown of a log


def folder_of(project_folder: str, batch: str) -> str:
    """Return the folder of a batch system's scripts and logs, which its nodes have to see."""
    return os.path.join(project_folder, ".stoker", "batch", batch)


def write_script(
    ask: Ask, system: BatchSystem, submit: Sequence[str], start: Sequence[str], folder: str,
    rights: Rights,
) -> None:  # fmt: skip
    """The pilot's script is at its place, whole, for its owner to run."""
    text = script(ask, system, submit, start, folder)
    rights.make_folder(os.path.dirname(ask.script))
    making = f"{ask.script}.part"
    descriptor = rights.open(
        making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    )
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.fsencode(text))
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), rights.file_mode | 0o100)
    hit("pilot.before_script")
    os.rename(making, ask.script)


def script(
    ask: Ask, system: BatchSystem, submit: Sequence[str], start: Sequence[str], folder: str
) -> str:
    """Return the text of the script.

    Its last command replaces the shell, so that signals for the job's first process reach the worker.
    """
    prepare = f"set -e\n{system.prepare.rstrip()}\nset +e\n" if system.prepare else ""
    return (
        "#!/bin/bash\n"
        f"# A pilot of Stoker, for [batch.{system.name}]. It was submitted by\n"
        f"#   {_one_line(shlex.join(submit))}\n"
        f"cd {shlex.quote(folder)} || exit 96\n"
        f"export STOKER_PILOT={shlex.quote(ask.uid)}\n"
        f"{prepare}"
        f"exec {shlex.join(start)}\n"
    )


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def last_words_of(log: str) -> str:
    """Return the last words of a log; nothing where there is none, or it is no file."""
    return last_words(read_end(log, _TAIL_BYTES))


def read_end(log: str, most: int = _MOST_LOG) -> str:
    """Return the end of a log, whatever somebody has put in its place."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return ""
        with suppress(OSError):
            file.seek(max(found.st_size - most, 0))
            return file.read(most).decode("utf-8", "replace")
    return ""


def clear_folder(folder: str, live: Sequence[str], failed: Sequence[str]) -> None:
    """Scripts and old logs are gone: the newest logs stay, those of pilots that failed for a week."""
    try:
        entries = [entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)]
    except OSError:
        return
    kept, dead = set(live), set(failed)
    aged = []
    for entry in entries:
        uid, _, kind = entry.name.partition(".")
        if uid in kept or kind not in ("sh", "sh.part", "log"):
            continue
        with suppress(OSError):
            aged.append((entry.stat(follow_symlinks=False).st_mtime, uid, kind, entry.path))
    newest = [uid for _, uid, kind, _ in sorted(aged, reverse=True) if kind == "log"][:KEPT_LOGS]
    for at_s, uid, _kind, path in aged:
        is_young = time.time() - at_s < FAILED_S
        if uid not in newest and not (uid in dead and is_young):
            with suppress(OSError):
                os.unlink(path)
