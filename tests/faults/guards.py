"""For each guard, what happens with it and without it; the checks must tell the two apart.

`python tests/faults/guards.py` plays every scene twice and prints which check caught which missing
guard. A scene brings about just that for which the guard is there.
"""

import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from faults import check
from faults.launch import Launcher, Started
from faults.site import Site, kill

LEASE_S = 1.5
STEP = """
[pipelines.p.steps.s]
retries = 1
backoff = "0.05s"
run = '''
LIFE
live %s
tick end
'''
"""


def _sabotage(guard: str, *, is_out: bool) -> tuple[str, ...]:
    return (guard,) if is_out else ()


def _prepare(site: Site, steps: str) -> None:
    site.write(steps)
    site.apply()
    site.push("k")


def _successor(site: Site) -> Started:
    """Another worker has taken the task over; its attempt runs."""
    before = len(check.read_ledger(site.folder))
    other = site.start("work", "--drain", "--slots", "1", lease_s=LEASE_S)
    site.wait(lambda: len(check.read_ledger(site.folder)) > before, "the successor runs the task")
    return other


def _stopped_at(site: Site, point: str, sabotage: tuple[str, ...]) -> tuple[Started, int]:
    """A worker that has stopped itself at the failpoint, outside any transaction; and its pid.

    Where a thread of it was just writing, another one is had instead.
    """
    while True:
        started = site.start(
            *("work", "--slots", "1"), lease_s=LEASE_S, janitor_s=60.0,
            failpoints=f"{point}=stop", sabotage=sabotage,
        )  # fmt: skip
        worker = site.stopped(started)
        assert worker is not None, site.dump()
        if not site.is_locked():
            return started, worker
        site.excuse(worker, for_s=8)
        kill(started.pid)
        kill(worker)
        site.end(started)


def _stop_when_done(site: Site, successor: Started) -> None:
    """The successor's attempt has ended; itself it may find no end where a guard is missing."""
    lives = check.read_ledger(site.folder)
    last = max(lives.values(), key=lambda life: life.first_us).attempt
    text = site.folder / check.LEDGER
    site.wait(lambda: f"{last} end" in text.read_text(), "the successor's attempt ends")
    _stop(site, successor)


def _stop(site: Site, started: Started) -> None:
    kill(started.pid, signal.SIGTERM)
    site.end(started)


def fence(site: Site, *, is_out: bool) -> None:
    """A worker freezes between an attempt's end and its record; its successor runs meanwhile."""
    _prepare(site, STEP % 16)
    frozen, worker = _stopped_at(site, "checked", _sabotage("fence", is_out=is_out))
    other = _successor(site)
    kill(worker, signal.SIGCONT)
    _stop_when_done(site, other)
    _stop(site, frozen)


def sweep(site: Site, *, is_out: bool) -> None:
    """A step leaves daemons: one marked, one not."""
    daemons = """
    (setsid bash -c 'while sleep 0.05; do :; done' TAG &)
    (env -i setsid /bin/bash -c 'while sleep 0.05; do :; done' TAG &)
    live"""
    _prepare(site, (STEP % 4).replace("live", daemons, 1))
    site.run("run", sabotage=_sabotage("sweep", is_out=is_out))


def lease_check(site: Site, *, is_out: bool) -> None:
    """A worker is frozen for longer than its lease while its attempt runs, and continued."""
    _prepare(site, STEP % 120)
    frozen = site.start(
        *("work", "--slots", "1"), lease_s=LEASE_S,
        sabotage=_sabotage("lease check", is_out=is_out),
    )  # fmt: skip
    site.wait(lambda: check.read_ledger(site.folder), "the attempt runs")
    worker = site.worker(frozen)
    site.wait(lambda: site.freeze(worker), "the worker is frozen, and the store is not locked")
    other = _successor(site)
    site.excuse(worker, for_s=1.0)
    kill(worker, signal.SIGCONT)
    _stop_when_done(site, other)
    _stop(site, frozen)


def idempotent_publish(site: Site, *, is_out: bool) -> None:
    """A worker dies between publishing and recording; the task runs again."""
    step = (STEP % 1).replace("tick end", "echo {key} > {out.a}")
    _prepare(site, step + 'outputs.a = "results/{key}"\n')
    run = site.start(
        "run", failpoints="published=kill", once=str(site.folder / "armed"),
        sabotage=_sabotage("idempotent publish", is_out=is_out),
    )  # fmt: skip
    site.end(run)


def journal(site: Site, *, is_out: bool) -> None:
    """A worker dies at a moment at which a journal of its own transaction is not yet written."""
    _prepare(site, STEP % 1)
    name = "journal in the same transaction"
    run = site.start(
        "run", failpoints="journal.apart=kill,finish.before_commit=kill@2",
        once=str(site.folder / "armed"), sabotage=_sabotage(name, is_out=is_out),
    )  # fmt: skip
    site.end(run)


SCENES: dict[str, tuple[Callable[..., None], str]] = {
    "fence": (fence, "success"),
    "sweep": (sweep, "processes"),
    "lease check": (lease_check, "ledger"),
    "idempotent publish": (idempotent_publish, "over"),
    "journal in the same transaction": (journal, "journal"),
}


def play(site: Site, guard: str, *, is_out: bool) -> list[check.Violation]:
    """Return what the checks find after the guard's scene, played with the guard or without it."""
    SCENES[guard][0](site, is_out=is_out)
    return site.check()


def main() -> int:
    """Play all and print the table; 1 if a missing guard was not noticed."""
    failed = False
    with tempfile.TemporaryDirectory(prefix="stoker-guards-") as name:
        launcher = Launcher(Path(name) / "empty.db")
        try:
            for number, guard in enumerate(SCENES):
                caught = []
                for is_out in (False, True):
                    folder = Path(name) / f"{number}-{is_out}"
                    folder.mkdir()
                    site = Site(folder, launcher)
                    try:
                        caught.append(
                            sorted({one.check for one in play(site, guard, is_out=is_out)})
                        )
                    finally:
                        site.close()
                failed |= bool(caught[0]) or SCENES[guard][1] not in caught[1]
                sys.stdout.write(
                    f"{guard:32} with: {', '.join(caught[0]) or 'all hold':12} "
                    f"without: caught by {', '.join(caught[1]) or 'NOBODY'}\n"
                )
        finally:
            launcher.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
