"""Starts `stoker` as a real process, without the half second that its imports take each time.

Run as a script, it loads what commands import, once, and then forks a process for every request on
its standard input: a line of JSON with arguments, folder, environment, and files for the streams.
"""

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading


class Forker:
    """The parent's side. One request at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()

    def run(
        self, arguments, *, folder, environment, given, out, err, account=None, umask=0o022
    ) -> int:
        """Return the exit code of `stoker` with these arguments; paths for its three streams.

        `account`: a user's number and those of its groups, of which the first is its own.
        """
        request = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "folder": str(folder),
            "environment": environment,
            "streams": [str(given), str(out), str(err)],
            "account": account,
            "umask": umask,
        }
        with self._lock:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """The process is gone."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def serve() -> None:
    """Fork a process for every request, and answer with its exit code."""
    import difflib  # noqa: F401 - loaded late by Stoker, when another account may not read Python's folder

    import rich.live  # noqa: F401

    import stoker.cli
    import stoker.project
    import stoker.spec.build
    import stoker.spec.check
    import stoker.work.worker
    from stoker.store.database.connect import open_store

    for module in pkgutil.walk_packages(stoker.__path__, "stoker."):
        if not any(part in module.name for part in (".migrations", ".warm", "__main__")):
            __import__(module.name)
    with tempfile.TemporaryDirectory() as folder:  # what makes a store is loaded then, too
        open_store(f"sqlite:///{folder}/stoker.db").close()
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            os._exit(_be_stoker(json.loads(line)))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _be_stoker(request) -> int:
    from stoker.cli.main import run

    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    modes = (
        os.O_RDONLY,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    )
    for number, (path, mode) in enumerate(zip(request["streams"], modes, strict=True)):
        os.dup2(os.open(path, mode, 0o600), number)
    sys.stdin = os.fdopen(0, "r")
    os.umask(request["umask"])
    if request["account"] is not None:
        uid, *groups = request["account"]
        os.setgroups(groups)
        os.setgid(groups[0])
        os.setuid(uid)
    sys.argv = ["stoker", *request["arguments"]]
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
