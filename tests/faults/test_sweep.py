"""Killed between any two durable effects: worker, warden, both, or what the task runs.

The points are taken from the source, so a new one is swept without anybody thinking of it.
"""

import ast
import os
import signal
from pathlib import Path

import pytest

from faults import check
from faults.site import kill, state_of
from stoker.model.worker import NewWorker
from stoker.work.scratch import Owner, WorkerFolder, boot_id
from stoker.work.store_link import StoreLink

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "stoker"
KEYS = ("k1", "k2")
COMMITS = (4, 9, 16, 25)
VICTIMS = ("worker", "warden", "both", "child")
OF_THE_WARDEN = "warden."
OF_PRUNING = {
    "forget.before_commit": "items",
    "forgotten": "items",
    "forget_attempts.before_commit": "attempts",
    "forget_logs.before_commit": "logs",
    "condense.before_commit": "journal",
}
# What no run passes, and where it is broken instead: the file, and the words for it there.
OF_ERROR_FOLDERS = Path("integration", "work", "test_error_folder.py")
ELSEWHERE = {
    "source.before_commit": ("faults/test_intake.py", '"before_commit"'),
    "source.registered": ("faults/test_intake.py", '"registered"'),
    "source.advanced": ("faults/test_intake.py", '"advanced"'),
    "page_copied": ("store/test_relocate.py", "page_copied"),
    "source_shut": ("store/test_relocate.py", "source_shut"),
    "gone.before_commit": ("property/test_sharing_model.py", "begin_again_elsewhere"),
    **{
        f"error_folder.{name}": (OF_ERROR_FOLDERS, f'"{name}"')
        for name in ("before_commit", "begun", "filled", "placed", "reserved")
    },
    "error_folder.removed": (OF_ERROR_FOLDERS, "error_folder.removed"),
    **{
        f"groups.{name}": ("property/test_groups_model.py", f"groups.{name}")
        for name in ("before_commit", "before_register", "noted", "projected", "told")
    },
    "groups.filled": ("store/test_volumes.py", "groups.filled"),
    "volume.block": ("integration/cli/test_volumes.py", "volume.block"),
    "volume.indexed": ("integration/cli/test_volumes.py", "volume.indexed"),
    "volume.packed": ("integration/cli/test_volumes.py", "volume.packed"),
    **{
        f"pilot.{name}": ("batch/test_rules.py", name)
        for name in (
            "before_concluded",
            "before_ended",
            "before_intended",
            "before_script",
            "before_started",
            "before_submit",
            "before_submitted",
            "intended",
            "submitted",
        )
    },
    **{
        f"table.{name}": ("integration/cli/test_values.py", f"table.{name}")
        for name in ("begun", "placed", "written")
    },
    "message.delivered": ("integration/cli/test_messages.py", "message.delivered"),
    **{
        name: ("integration/outposts/test_visits.py", name)
        for name in (
            *("visit.before_bye", "visit.claimed", "visit.greeted", "visit.listed"),
            *("visit.published", "visit.recorded", "visit.reserved", "visit.sent", "visit.settled"),
            *("outpost.before_reserve", "outpost.enlisted", "outpost.forgetting"),
            *("outpost.guarded", "outpost.listed", "outpost.moved", "outpost.published"),
            *("outpost.put", "outpost.result_linked", "outpost.result_written", "outpost.taken"),
            "outpost.written",
        )
    },
    **{
        f"outpost.pilot_{name}": ("integration/outposts/test_pilots.py", f"outpost.pilot_{name}")
        for name in ("intended", "submitted")
    },
    **{
        name: ("integration/outposts/test_temporary.py", name)
        for name in ("outpost.removed", "visit.removing")
    },
    "outpost.orphan_kept": ("integration/outposts/test_while_out.py", "outpost.orphan_kept"),
    **{
        name: ("integration/outposts/test_groups.py", name)
        for name in ("outpost.members_put", "visit.members_sent")
    },
    "transfer.sent": ("integration/transfer/test_transfer.py", "transfer.sent"),
}

PIPELINE = """
[pipelines.p.defaults]
retries = 6
backoff = "0.05s"
exits = { 75 = "later" }

[pipelines.p.steps.make]
run = '''
LIFE
(setsid bash -c 'while sleep 0.05; do :; done' TAG &)
(env -i setsid /bin/bash -c 'while sleep 0.05; do :; done' TAG &)
live 2
echo {key} > {out.a}
echo {key} > {out.b}
head -c 9000 /dev/zero | tr '\\0' x
echo '{"n": 1}' > "$STOKER_VALUES"
tick end
'''
pools = { pit = 1 }
outputs.a = "results/{key}.a"
outputs.b = { to = "results/{key}.b", stage = "beside" }

[pipelines.p.steps.tree]
run = '''
LIFE
tick start
mkdir {out.tree}
cp {in.make.a} {out.tree}/copy
'''
outputs.tree = { to = "trees/{key}/", overwrite = true }

[pipelines.p.steps.flaky]
run = '''
LIFE
tick start
test -e HERE/tried-{key} || { touch HERE/tried-{key}; exit 75; }
'''
"""
LATER = """
[pipelines.p.steps.warm]
python = "steps:lines"
outputs.lines = "results/{key}.lines"
after = ["make", "flaky"]
"""
FUNCTION = """
from pathlib import Path

def lines(task):
    Path(task.outputs["lines"]).write_text(task.key)
    return {"lines": 1}
"""


def names() -> list[str]:
    """Return the names of all failpoints in the source."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_hit = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_hit and node.func.id == "hit":
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{path}: the name is not a constant"
                found.add(argument.value)
    return sorted(found)


def cases() -> list[tuple[str, str]]:
    """Every name with every victim; and with two, some later commits, each a point on its own."""
    points = [
        name
        for name in names()
        if not (name.startswith(OF_THE_WARDEN) or name in OF_PRUNING or name in ELSEWHERE)
    ]
    commits = [name for name in points if name.startswith("transaction.")]
    later = [f"{name}@{n}" for name in commits for n in COMMITS]
    return [
        *((name, victim) for name in points for victim in VICTIMS),
        *((name, victim) for name in later for victim in ("worker", "both")),
    ]


def prepare(site) -> None:
    """A store with an older version, in which a worker that is dead holds a task and its pool."""
    site.write(PIPELINE, pools="pit = 1")
    (site.folder / "steps.py").write_text(FUNCTION)
    for key in (*KEYS, "k0"):
        (site.folder / "trees" / key).mkdir(parents=True)
        (site.folder / "trees" / key / "copy").touch()
    site.apply()
    site.push("k0")
    link = StoreLink(site.store)
    new = NewWorker(
        host=site.store.host, name="dead", pid=2**22, slots=1, cpus=1, memory_bytes=1 << 30,
        scratch=str(site.scratch), boot_id=boot_id(), lease_s=3600,
    )  # fmt: skip
    dead = link.enlist(new)
    (claimed,) = link.claim(dead, limit=1, cpus_free=1).tasks
    assert claimed.slots
    owner = Owner(
        host=site.store.host, boot_id=boot_id(), pid=2**22, started=1, worker=dead,
        store=link.store_id,
    )  # fmt: skip
    folder = WorkerFolder(str(site.scratch), owner)
    hidden = site.folder / ".stoker-half-made"
    hidden.touch()
    folder.note_elsewhere(str(hidden))
    os.close(folder._elsewhere)
    site.write(PIPELINE + LATER, pools="pit = 1")


def arm(site, failpoints: str):
    """Start a run that stops itself at the point; return it with its worker, None if it did not."""
    run = site.start(
        *("run", "p", *KEYS, "--slots", "2"), failpoints=failpoints, once=str(site.folder / "armed")
    )
    return run, site.stopped(run)


def strike(site, run, worker: int, victim: str) -> None:
    """Kill the victim; what is not killed goes on."""
    below = site.attempts_of(worker)
    if victim in ("warden", "both"):
        kill(run.pid)
    if victim in ("worker", "both"):
        kill(worker)
    if victim == "child":
        for pid in below:
            kill(pid)
    kill(worker, signal.SIGCONT)
    if victim == "both":
        site.excuse(worker, for_s=5)


def go_on(site, run, victim: str) -> None:
    """Whoever outlives the victim does its work, and leaves nothing; then all is done."""
    code = site.end(run)
    if victim in ("worker", "child"):
        assert code == 0, site.dump()  # it went on by itself
        return
    if victim == "warden":
        site.wait(lambda: not site.left_behind(), "the worker stops without its warden")
    site.run("run", "p", *KEYS, "--slots", "2")


@pytest.mark.parametrize(("point", "victim"), cases())
def test_a_kill_between_any_two_effects_is_made_good(site, point, victim):
    if point == "copied" and site.folder in site.scratch.parents:
        pytest.skip("there is no other file system to publish from")
    prepare(site)
    name, _, nth = point.partition("@")
    run, worker = arm(site, f"{name}=stop@{nth or 1}")
    if worker is None:
        assert nth, f"the sweep's pipeline does not reach `{point}`\n{site.dump()}"
        pytest.fail(f"there are fewer than {nth} transactions; lower COMMITS")
    strike(site, run, worker, victim)
    go_on(site, run, victim)
    site.note(*KEYS)
    site.hold()
    assert len(check.read_ledger(site.folder)) >= 3 * 3


@pytest.mark.parametrize("point", [name for name in names() if name.startswith(OF_THE_WARDEN)])
def test_a_warden_killed_while_it_clears_up_after_its_worker_is_made_good(site, point):
    prepare(site)
    run = site.start("run", "p", *KEYS, "--slots", "2", warden=f"{point}=stop")
    site.wait(lambda: check.read_ledger(site.folder), "attempts run")
    worker = site.worker(run)
    site.excuse(worker, for_s=20)
    kill(worker)
    site.wait(lambda: state_of(run.pid) == "T", "the warden has stopped itself")
    kill(run.pid)
    site.end(run)
    site.run("run", "p", *KEYS, "--slots", "2")
    site.note(*KEYS)
    site.hold()


@pytest.mark.parametrize("point", OF_PRUNING)
def test_forgetting_that_was_killed_is_made_good(site, point):
    """What is forgotten is not there to be checked any more; the rest must fit together."""
    prepare(site)
    site.run("run", "p", *KEYS, "--slots", "2")
    prune = ("prune", "--older-than", "0s", "--what", OF_PRUNING[point])
    killed = site.start(*prune, warden=f"{point}=kill")
    assert site.end(killed) == -signal.SIGKILL, site.dump()
    site.run(*prune)
    for file in (check.LEDGER, check.KEYS):
        (site.folder / file).unlink()
    broken = [one for one in site.check() if one.check != "once"]
    assert not broken, site.dump()


def test_what_is_broken_elsewhere_is_a_failpoint_and_is_broken_there():
    assert {*ELSEWHERE, *OF_PRUNING} <= {*names()}
    for file, words in ELSEWHERE.values():
        assert words in (TESTS / file).read_text(), file


def test_names_are_found_in_the_source():
    found = names()
    assert {"claim.before_commit", "published", "finish.before_commit", "fold.before_commit"} <= {
        *found
    }
    assert len(found) >= 25, found
