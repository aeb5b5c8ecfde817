"""Several processes on one store: no task twice, no pool over its slots, nothing lost, all served.

A small run of what `python tests/store/contention.py` does at length.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import crowd
from stoker.store.database import rebuild
from store import contention

PROGRAM = Path(__file__).with_name("contention.py")


def run(url, *more):
    command = [sys.executable, str(PROGRAM), "--url", url, "--limit", "90", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["8", "2"])
def test_no_task_is_claimed_twice_by_processes_at_once(url, hosts):
    told = run(url, "--processes", "8", "--tasks", "600", "--batch", "3", "--hosts", hosts)
    assert told["problems"] == []
    assert told["tasks"] == 600
    assert told["most_slots_held"]["ram"] in (3, 4)


def test_what_a_crowd_left_can_be_made_again_from_the_journal(rig, url):
    assert run(url, "--processes", "2", "--tasks", "80")["problems"] == []
    with rig.store.reading() as unit:
        assert list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit))) == []
    rig.check()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("claim", "line", "k", "one")] * 2, "claimed more than once"),
        ([("claim", "line", "k", "one")], "not done"),
        ([("claim", "scarce", key, "many") for key in "ab"], "6 slots of pool `ram`"),
        ([("lose", "line", "k", "one")], "there is a `lose`"),
    ],
)
def test_the_journals_check_finds_what_is_wrong(rows, problem):
    account = crowd.Account(claimed=[("line", "k", "one")])
    checks = contention.Checks([account], is_sqlite=False)
    checks.follow(iter(rows))
    assert [found for found in checks.problems if problem in found]
