"""Where there is no batch system: the worker that a visit starts, and that outlives it."""

import os
import subprocess
import sys
from pathlib import Path

from stoker.outpost.spool import Spool


def stoker_words() -> tuple[str, ...]:
    """Return the words that run this Stoker."""
    beside = Path(sys.executable).parent / "stoker"
    if os.access(beside, os.X_OK):
        return (str(beside),)
    return (sys.executable, "-c", "from stoker.cli.main import main; main()")


def launch(spool: Spool, *, slots: int | None = None) -> None:
    """A worker has been started, of a session of its own, with its words in the spool's `logs`."""
    command = [*stoker_words(), "outpost", "run", "--spool", spool.folder]
    if slots is not None:
        command += ["--slots", str(slots)]
    log = os.open(
        spool.at("logs", "worker.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    try:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(log)
