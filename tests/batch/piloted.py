"""A project whose pilots run on a real batch system, visited as often as a test likes."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch.lab import Lab
from integration.work.rig import wait_until
from stoker.errors import Unavailable
from stoker.model.batch import Manners
from stoker.project.verbs.batch import Batch

# Everything at once, so that a test sees within seconds what takes minutes in life.
QUICK = Manners(
    idle_s=2, look_s=0, missed_s=0, arrive_s=1, stuck_s=1, surplus_s=0, young_s=0.5, span_s=1,
    back_off_s=(0,), again_s=0, first_waiting=8,
)  # fmt: skip


# The first four tell how long it takes; the others end once there is a file `go`. `k0000` fails.
GATED = '''
[pipelines.p.steps.s]
run = """
sleep 0.5
case {key} in
    k000[0-3]) ;;
    *) until [ -e {project}/go ]; do sleep 0.1; done ;;
esac
[ {key} != k0000 ]
"""
timeout = "4m"
'''


class Piloted:
    """The batch system `main` of a project; `settings` are what its file cannot say."""

    def __init__(self, lab: Lab, manners: Manners = QUICK, **settings: Any) -> None:
        self.lab = lab
        self.project = lab.project()
        self.batch = Batch(self.project, manners)
        for name, visitor in self.batch.visitors.items():
            visitor.settings = replace(visitor.settings, **settings)
            assert name == visitor.settings.name

    def visit(self) -> None:
        """One visit is made."""
        self.lab.stoker("status")  # counts are up to date
        self.batch.visit()

    def visit_until(self, holds: Callable[[], Any], what: str, *, within_s: float = 60.0) -> None:
        """Visits are made until that is so."""
        until_s = time.monotonic() + within_s
        self.visit()
        while not holds():
            assert time.monotonic() < until_s, f"{what}\n{self.dump()}"
            self.visit()
            time.sleep(0.2)

    def dump(self) -> str:
        """What a person would look at."""
        logs = [
            f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}"
            for path in sorted(Path(self.lab.folder).glob(".stoker/batch/*/*.log"))
        ]
        return "\n".join(
            [self.lab.stoker("batch", "list", "--all"), self.lab.stoker("status"), *logs]
        )

    @property
    def states(self) -> list[str]:
        """The states of all pilots, oldest first."""
        return [row.state for row in self.batch.list(everyone=True)]

    @property
    def pilots(self) -> list[Any]:
        """All pilots, oldest first."""
        return list(self.batch.list(everyone=True))

    def working(self) -> Any:
        """A pilot that runs something, once there is one."""

        def found() -> Any:
            busy = self.busy()
            return next((row for row in self.pilots if row.id in busy), None)

        return wait_until(found, "a pilot works", within_s=90)

    def share(self, n: int) -> None:
        """Tasks of `GATED` are done by so many pilots, each of which had one at the same time."""
        self.lab.push(20)
        self.visit_until(lambda: len(self.states) == 1, "one finds out how long it takes")
        wait_until(lambda: self.lab.states().get("done", 0) >= 3, "it is known", within_s=90)
        self.visit_until(lambda: len(self.states) == n, "others come")
        self.visit_until(lambda: len(self.busy()) == n, "all have one", within_s=90)
        (self.lab.folder / "go").touch()
        wait_until(lambda: self.lab.states() == {"done": 19, "failed": 1}, "it ends", within_s=90)
        self.visit_until(lambda: set(self.states) == {"ended"}, "they end without work")
        assert sum(row.done for row in self.pilots) == 19
        assert min(row.done for row in self.pilots) > 0
        assert {row.reason for row in self.pilots} == {"no work was left for it"}
        seen = {(one.pilot, one.batch_id) for one in self.project.attempts()}
        assert seen == {(row.id, row.batch_id) for row in self.pilots}
        assert no_process_is_left(self.lab.folder)

    def busy(self) -> set[str | None]:
        """The pilots that run something."""
        return {one.pilot for one in self.project.attempts(state="running")}

    def is_done(self) -> bool:
        """Whether all tasks are done."""
        return set(self.lab.states()) == {"done"}

    def close(self) -> None:
        """All pilots end."""
        with suppress(
            Unavailable
        ):  # the test may have cut the way to it; then the cluster's end is theirs
            self.batch.cancel("main")
        self.project.close()


def job_of(row: Any) -> str:
    """The id of a pilot's job."""
    return row.batch_id.split(":")[1].split(".")[0]


def no_process_is_left(folder: Path) -> bool:
    """Whether nothing runs that has to do with the project."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(f"{folder}/stoker.toml") in words and b"pilot" in words:
                return False
    return True
