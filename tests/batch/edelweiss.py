"""`make demo-edelweiss`: a laboratory that only opens connections outward, and a centre without services.

Everything is started here and gone afterwards: two places with a network, a host name and files of their
own, a cable between them, a database of CouchDB's protocol in one, sshd and Slurm in the other.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import places
import servers
import sshd
from batch.slurm import Slurm
from couch import server as couch

EXAMPLE = Path(__file__).parents[2] / "examples" / "edelweiss"
STOKER = Path(sys.executable).with_name("stoker")
AT = "/srv/edelweiss"  # the project, as it is called in the laboratory
MAPPED, UNMAPPED = "sl29a", "sl29b"  # runs with and without a map of detectors
GIVE_UP_S = 150.0
_PORT = 5984


def require() -> None:
    """Skip the test, in CI fail it, where something of all this is not installed."""
    places.require()
    if not sshd.IS_THERE or shutil.which("rsync") is None:
        servers.unavailable(
            "openssh-server or rsync is not installed; `requirements/servers` does it"
        )
    if not couch.modules().is_dir() or shutil.which("node") is None:
        servers.unavailable("no server of CouchDB's protocol; `requirements/servers` installs it")


class Demo:
    """Both places with what the example puts there, and what a person types in the laboratory."""

    def __init__(self, world: places.Places, slurm: Slurm, *, every: str) -> None:
        self.world = world
        self.laboratory, self.centre = world.laboratory, world.centre
        self.folder = self.laboratory.folder / "edelweiss"
        self._slurm = slurm
        self._started: list[subprocess.Popen[bytes]] = []
        self.service: subprocess.Popen[bytes]
        self._password = secrets.token_urlsafe(12)
        shutil.copytree(EXAMPLE / "laboratory", self.folder)
        file = self.folder / "stoker.toml"
        text = file.read_text(encoding="utf-8")
        hurried = text.replace('stoker = "/srv', f'every = "{every}"\nstoker = "/srv')
        file.write_text(hurried + _prepared(), encoding="utf-8")
        edw = self.centre.folder / "edw"
        shutil.copytree(EXAMPLE / "centre", edw)
        (edw / "venv/bin").mkdir(parents=True)
        (edw / "venv/bin/stoker").symlink_to(STOKER)
        secret = self.folder / "couch-password"
        secret.touch(mode=0o600)
        secret.write_text(self._password, encoding="ascii")
        self._env = os.environ | {"PATH": f"{STOKER.parent}:{os.environ['PATH']}"}
        self._env.pop("SLURM_CONF", None)

    def serve_documents(self) -> None:
        """The laboratory's database answers, there and nowhere else."""
        data = self.world.folder / "couch"
        data.mkdir()
        settings = {
            "COUCH_MODULES": str(couch.modules()),
            "COUCH_USER": "stoker",
            "COUCH_PASSWORD": self._password,
        }
        program = Path(couch.__file__).with_name("server.js")
        self.start("node", str(program), str(_PORT), str(data), log="couch.log", env=settings)
        self.wait(
            "the database answers", lambda: self.ask("curl -sf -u stoker:x $couch; [ $? = 22 ]")
        )
        self.wait("the database is made", lambda: self.ask("curl -sf $account -X PUT $couch/edw"))

    def start(
        self, *command: str, log: str, env: dict[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """The command runs in the laboratory, until the end if nobody ends it."""
        with (self.world.folder / log).open("wb") as out:
            started = subprocess.Popen(
                self.laboratory.inside(*command, at=AT), env=self._env | (env or {}),
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self._started.append(started)
        return started

    def serve(self) -> None:
        """The service runs."""
        self.service = self.start("stoker", "up", "--no-web", log="service.log")

    def end_service(self) -> None:
        """The service ends in order."""
        self.service.terminate()
        self.service.wait(60)

    def show(self, command: str, *, may_fail: bool = False) -> None:
        """Print a command, and what it prints in the laboratory."""
        print(f"\n$ {command}", flush=True)
        subprocess.run(self._in_bash(command), env=self._env, check=not may_fail, timeout=120)

    def ask(self, command: str) -> bool:
        """Whether a command in the laboratory succeeds."""
        done = subprocess.run(
            self._in_bash(command), env=self._env, check=False, capture_output=True, timeout=60
        )
        return done.returncode == 0

    def _in_bash(self, command: str) -> list[str]:
        prelude = f"couch=http://127.0.0.1:{_PORT}; account='-u stoker:{self._password}'\n"
        return self.laboratory.inside("bash", "-c", prelude + command, at=AT)

    def documents(self) -> dict[str, dict[str, Any]]:
        """Every document, by its name."""
        done = subprocess.run(
            self._in_bash("curl -sf $account $couch/edw/_all_docs?include_docs=true"),
            env=self._env, check=True, stdout=subprocess.PIPE, timeout=60,
        )  # fmt: skip
        return {row["id"]: row["doc"] for row in json.loads(done.stdout)["rows"]}

    def words(self) -> Counter[str]:
        """How many documents have which status."""
        return Counter(document["status"] for document in self.documents().values())

    def wait(self, what: str, holds: Callable[[], bool], *, every_s: float = 0.3) -> None:
        """It holds; an error if it does not in some minutes."""
        until_s = time.monotonic() + GIVE_UP_S
        while not holds():
            dead = [one.args for one in self._started if one.poll()]
            if dead or time.monotonic() > until_s:
                raise RuntimeError(
                    f"not in {GIVE_UP_S:.0f} s: {what}; ended: {dead}\n{self._logs()}"
                )
            time.sleep(every_s)

    def left(self) -> int:
        """How many files of attempts are still in the spool."""
        names = ("todo", "taken", "runs", "done", "back", "stop")
        spool = self.centre.folder / "edw" / "spool"
        return sum(1 for name in names for path in (spool / name).rglob("*") if path.is_file())

    def watch(self, what: str, holds: Callable[[Counter[str]], bool]) -> None:
        """The documents' words are shown as they change, until it holds."""
        before: Counter[str] = Counter()
        shown_s = 0.0

        def look() -> bool:
            nonlocal before, shown_s
            now = self.words()
            is_over = holds(now)
            if now != before and (is_over or time.monotonic() > shown_s):
                print(
                    f"  documents: {', '.join(f'{n} {word}' for word, n in sorted(now.items()))}",
                    flush=True,
                )
                before, shown_s = now, time.monotonic() + 3
            return is_over

        self.wait(what, look)

    def _logs(self) -> str:
        logs = [*self.world.folder.glob("*.log"), *self.centre.folder.glob("edw/spool/logs/*.log")]
        ends = [f"{log.name}:\n{log.read_text(errors='replace')[-3000:]}" for log in logs]
        return "\n".join([self._slurm.stands(), *ends])


def _prepared() -> str:
    """The line of the batch system's table that has jobs find the code that this process runs."""
    path = os.environ.get("PYTHONPATH")
    return f'\n[batch.lyon.env]\nprepare = "export PYTHONPATH={path}"' if path else ""


def play(demo: Demo, *, runs: int, files: int, seconds: float) -> None:
    """What a person does in the laboratory, and what happens to the line meanwhile."""
    good = [f"{MAPPED}{number:03}" for number in range(runs)]
    later = [f"{UNMAPPED}{number:03}" for number in range(max(1, runs // 2))]
    demo.serve_documents()
    demo.show("hostname; stoker check && stoker apply")
    print("\n$ stoker up --no-web &")
    demo.serve()
    taking = f"python3 tools/take_data.py {' '.join(good + later)} --files {files}"
    print(f"$ {taking} &")
    demo.start(*taking.split(), "--seconds", f"{seconds:g}", log="data.log")
    total, of_good = files * (len(good) + len(later)), files * len(good)
    demo.watch("the first files are good", lambda now: now["good"] >= max(1, of_good // 4))
    print("\nAn excavator cuts the line between the places:", flush=True)
    demo.world.cut()
    silent = "stoker site list --json | python3 -c 'import json, sys; sys.exit(json.load(sys.stdin)[\"trouble\"] is None)'"
    demo.wait("the line is seen to be silent", lambda: demo.ask(silent), every_s=1)
    demo.show("stoker site list")
    demo.show("stoker status", may_fail=True)
    print("\nIt is mended:", flush=True)
    demo.world.heal()
    demo.watch(
        "all that can be is good",
        lambda now: now["good"] == of_good and now["proc1 failed"] == total - of_good,
    )
    demo.show("stoker failures")
    repair(demo, later)
    demo.watch("all is good", lambda now: now["good"] == total)
    demo.wait(
        "each run has its spectrum",
        lambda: demo.ask(f"[ $(ls results/sl29*.csv | wc -l) = {len(good + later)} ]"),
    )
    demo.show("stoker status")
    demo.show("stoker site list")
    key = f"{good[0]}_000"
    demo.show(f"curl -s $account $couch/edw/{key} | python3 -m json.tool | head -40")
    print("\nthe centre's own record:")
    demo.show("ssh cca squeue --states=all -o \"'%.8i %.24j %.10T %.10M %.6N'\"")
    print("\nnobody at the centre reaches the database or the store:")
    demo.show(
        "ssh cca 'curl -sm 2 http://modane:5984/ || echo no answer; ls /srv/edelweiss 2>&1'",
        may_fail=True,
    )
    demo.end_service()
    print("\nthe month is over; nobody waits two weeks for the archive, as `run` does not:")
    demo.show("stoker run month")
    demo.show("ssh cca 'tar -Ptf /srv/edw/archive/*.tar' | sort")
    print(
        f"\nleft at the centre: {demo.left()} files of the spool, once the service has ended",
        flush=True,
    )
    demo.show(f"stoker values runs --out - | head -4; head -4 results/{good[0]}.csv")
    demo.show("stoker store check")


def repair(demo: Demo, later: list[str]) -> None:
    """One command for a range, once the cause is gone."""
    print("\nSomebody writes the map of the new detectors; then one command for the whole range:")
    demo.show(f"ssh cca cp /srv/edw/maps/{MAPPED}.map /srv/edw/maps/{UNMAPPED}.map")
    chosen = (
        f"stoker retry --pipeline runs --step proc1 --from-key {later[0]} --to-key {later[-1]}_999"
    )
    demo.show(f"{chosen} --dry-run")
    demo.show(f"{chosen} --reason 'map of the new detectors written'")


def main() -> None:
    """Do it all, and leave nothing."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--runs", type=int, default=8, help="with a map of detectors; half as many without"
    )
    parser.add_argument("--files", type=int, default=5, help="of each run")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a file grows")
    parser.add_argument("--every", default="3s", help="how often the centre is visited")
    options = parser.parse_args()
    require()
    with places.Places() as world:
        slurm = Slurm(world.centre.inside(at="/"))
        try:
            keys = world.folder / "sshd"
            keys.mkdir()
            path = f"{slurm.programs}:{os.environ['PATH']}"
            with sshd.Sshd(
                keys, slurm.env | {"PATH": path}, address=places.CENTRE,
                server=world.centre.inside(at="/"), client=world.laboratory.inside(),
            ) as host:  # fmt: skip
                world.laboratory.run("mount", "--bind", str(host.config), "/etc/ssh/ssh_config")
                demo = Demo(world, slurm, every=options.every)
                play(demo, runs=options.runs, files=options.files, seconds=options.seconds)
        finally:
            slurm.close()


if __name__ == "__main__":
    main()
