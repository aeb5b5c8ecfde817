"""Two places on this machine, a cable between them: a laboratory that nobody reaches, and a computing centre.

Each has its own network, host name, mounts and `/srv`; neither sees the other's files. The laboratory opens
connections to the centre, and its firewall lets none in. Only root can make them.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

import servers

_PROGRAMS = ("ip", "nft", "unshare", "nsenter", "mount")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
LABORATORY, CENTRE = "10.97.0.1", "10.97.0.2"
_WALL = """\
table inet wall {
  chain input {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}
"""


def require() -> None:
    """Skip the test, in CI fail it, where no such places can be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can make networks")
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        servers.unavailable(f"`{missing[0]}` is not installed; `requirements/servers` does it")


class Place:
    """One of them. What is started by `inside` is there; all of it is killed at the end."""

    def __init__(self, name: str, folder: Path, *, hidden: Path) -> None:
        self.name = name
        self.folder = folder  # its `/srv`, as it is called outside
        hosts = folder.parent / f"{name}.hosts"
        hosts.write_text(f"127.0.0.1 localhost {name}\n{LABORATORY} modane\n{CENTRE} cca\n")
        lines = [
            "set -e",
            f"hostname {name}",
            "ip link set lo up",
            f"mount --bind {folder} /srv",
            f"mount --bind {hosts} /etc/hosts",
            f"mount -t tmpfs none {hidden}",
            "echo up",
            "read -r _ || :",
            "here=$(readlink /proc/$$/ns/net)",  # the end, whatever became of who started this
            "for one in /proc/[0-9]*; do",
            '[ "$(readlink $one/ns/net)" != "$here" ] || [ $one = /proc/$$ ] || kill -9 ${one#/proc/} || :',
            "done 2>/dev/null",
            f"umount {hidden}; rm -rf {folder.parent}",
        ]
        with (folder.parent / f"{name}.log").open("wb") as log:
            self._holder = subprocess.Popen(
                ["unshare", "--net", "--uts", "--mount", "bash", "-c", "\n".join(lines)],
                env=os.environ | {"PATH": _PATH}, text=True, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        if self._holder.stdout is None or self._holder.stdout.readline() != "up\n":
            raise RuntimeError((folder.parent / f"{name}.log").read_text())

    @property
    def pid(self) -> int:
        """A process that is there."""
        return self._holder.pid

    def inside(self, *command: str, at: str = "/srv") -> list[str]:
        """The command that runs this command there, in that folder."""
        enter = [str(shutil.which("nsenter", path=_PATH)), "--net", "--uts", "--mount"]
        return [*enter, "-t", str(self.pid), "env", f"--chdir={at}", *command]

    def run(self, *command: str, at: str = "/srv") -> str:
        """What a command there prints; an error if it fails."""
        done = subprocess.run(
            self.inside(*command, at=at), env=os.environ | {"PATH": _PATH}, text=True, check=False,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def close(self) -> None:
        """All that runs there is killed, and nothing of it is left."""
        self._holder.communicate()


class Places:
    """The laboratory, the centre and the line between them, for as long as the block lasts."""

    laboratory: Place
    centre: Place

    def __init__(self) -> None:
        require()
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-places-"))
        self.folder.chmod(0o755)
        self._ends = ExitStack()
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            folders = [self.folder / name for name in ("laboratory", "centre")]
            for folder in folders:
                folder.mkdir(mode=0o755)
            self.laboratory = self._place("modane", *folders)
            self.centre = self._place("cca", *reversed(folders))
            line = ["link", "add", "line", "netns", str(self.laboratory.pid), "type", "veth"]
            _ip(*line, "peer", "name", "line", "netns", str(self.centre.pid))
            for place, address in (self.laboratory, LABORATORY), (self.centre, CENTRE):
                place.run("ip", "addr", "add", f"{address}/30", "dev", "line")
                place.run("ip", "link", "set", "line", "up")
            (self.folder / "wall").write_text(_WALL)
            self.laboratory.run("nft", "-f", f"{self.folder}/wall")
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _place(self, name: str, folder: Path, other: Path) -> Place:
        place = Place(name, folder, hidden=other)
        self._ends.callback(place.close)
        return place

    def cut(self) -> None:
        """What the laboratory sends gets lost, in silence."""
        self.centre.run("ip", "link", "set", "line", "down")

    def heal(self) -> None:
        """The line is whole again."""
        self.centre.run("ip", "link", "set", "line", "up")


def _ip(*words: str) -> None:
    program = str(shutil.which("ip", path=_PATH))
    subprocess.run([program, *words], check=True, capture_output=True, timeout=60)
