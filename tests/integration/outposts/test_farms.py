"""`[batch.NAME] via = "files"`: nodes that see this site's files, but reach no database."""

import os

import pytest

from batch.fake.slurm import FakeSlurm
from integration.work.rig import Rig
from store.rig import Rig as Checks

BATCH = """
[batch.farm]
via = "files"
system = "slurm"
time_limit = "1h"
max_pilots = 3
tags = ["cluster"]
"""
STEPS = """
[pipelines.p.steps.make]
run = '''echo {key} $STOKER_SITE $STOKER_PROJECT > {out.made}'''
outputs.made = "made/{key}"
[pipelines.p.steps.use]
run = '''cat {in.make.made} {in.make.made} > {out.twice}'''
outputs.twice = "twice/{key}"
needs = ["cluster"]
"""


@pytest.fixture
def farm(rig, tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.programs}:{os.environ['PATH']}")
    rig.spool = tmp_path / ".stoker" / "batch" / "farm" / "spool"
    rig.site = BATCH
    return fake


def test_tasks_of_this_site_run_on_nodes_without_a_database(rig, farm, tmp_path):
    rig.write(STEPS)
    rig.push("a", "b")
    done = rig.visit(brings_worker=True)
    assert (done.sent, done.started, farm.ids("PENDING")) == (2, True, ["101", "102"])
    (pilot, _) = sorted(path.stem for path in (rig.spool / "pilots").glob("*.json"))
    assert rig.work_there(pilot=pilot, idle_timeout_s=0.2, time_limit_s=60) == 0
    assert rig.visit(brings_worker=True).recorded == 2
    text = (tmp_path / "made" / "a").read_text().split()
    assert (text[0], text[2]) == ("a", str(tmp_path))
    assert text[1] not in ("", "farm")
    assert (
        rig.work_there(pilot=pilot, idle_timeout_s=0.2) == 0
    )  # the second step, which needs a tag
    rig.visit()
    assert set(rig.task_states().values()) == {"done"}
    assert (tmp_path / "twice" / "b").read_text().startswith("b ")
    assert rig.left_there() == []
    Checks(rig.store).check()


def test_workers_here_and_there_share_what_is_ready(rig, farm):
    rig.write(STEPS.replace('needs = ["cluster"]', ""))
    rig.push(*(f"k{n:02}" for n in range(20)))
    assert rig.visit().sent == 12  # four rounds for three pilots of one cpu
    Rig.work(rig)
    states = list(rig.task_states().values())
    assert states.count("done") == 16
    assert rig.work_there() == 0
    rig.visit(is_held=True)
    Rig.work(rig)
    assert set(rig.task_states().values()) == {"done"}
    Checks(rig.store).check()


@pytest.mark.parametrize(
    ("needs", "extra"),
    [
        ('secrets = ["TOKEN"]', '[secrets]\nnames = ["TOKEN"]'),
        ("pools = { gpu = 1 }", '[pools]\ngpu = { slots = 1, per = "host" }'),
        ("pools = { fast = 1 }", "[pools]\nfast = { slots = 2, per_minute = 5 }"),
        ('together = "t"\n[pipelines.p.steps.other]\nrun = "true"\ntogether = "t"', ""),
        ('needs = ["gpu"]', ""),
    ],
    ids=["secrets", "per_host", "per_minute", "together", "tag"],
)
def test_what_does_not_pass_through_files_is_not_given_out(rig, farm, needs, extra):
    rig.write(f'[pipelines.p.steps.make]\nrun = "true"\n{needs}\n', extra=extra)
    rig.push("a")
    assert rig.visit().sent == 0


def test_a_person_holds_it_and_lets_it_go_on_as_any_batch_system(rig, farm, tmp_path):
    from stoker.errors import UserError
    from stoker.project import open_project

    rig.write(STEPS)
    with open_project(tmp_path) as project:
        project.apply()
        assert project.batch.hold("farm").changed
        assert project.sites.show("batch.farm").kind == "files"
        rig.push("a")
        assert project.sites.visit("batch.farm").sent == 0
        assert project.batch.release("farm").changed
        assert project.sites.visit("batch.farm").sent == 1
        with pytest.raises(UserError, match=r"stoker site show batch\.farm"):
            project.batch.cancel("farm")
