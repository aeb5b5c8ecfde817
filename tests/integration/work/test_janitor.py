"""Housekeeping beside a worker."""

from integration.work.rig import wait_until
from stoker.project.services.janitor import Janitor
from stoker.project.services.service import running

STEP = '[pipelines.p.steps.s]\nargv = ["/bin/true"]'


def test_a_new_retention_is_heeded_by_the_next_tick(rig):
    """Not only after the hour for which nothing was left to forget by the old one."""
    rig.write(STEP, extra='[retention]\nitems = "365d"')
    rig.push("k")
    rig.work()
    ticks, problems = [], []
    tidy = Janitor(
        rig.store,
        scratch_root=str(rig.folder / "s"),
        tick_s=0.01,
        also=lambda: ticks.append(1),
    )
    with running([tidy], on_failure=problems.append):
        wait_until(lambda: len(ticks) > 2, "it goes by the old one")
        assert list(rig.task_states()) == ["k/s"]
        rig.write(STEP, extra='[retention]\nitems = "0s"')
        wait_until(lambda: not rig.task_states(), "it goes by the new one")
    assert problems == []
