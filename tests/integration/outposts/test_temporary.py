"""Temporary outputs at an outpost: deleted there by a visit, once the last step has used them."""

import pytest

STEPS = """
[pipelines.p.steps.make]
site = "far"
run = '''
echo {key} > {out.big}; mkdir {out.tree}; echo {key} > {out.tree}/leaf; echo "$STOKER_ATTEMPT" >> "$RUNS/{key}"
'''
outputs.big = { to = "big/{key}", temp = true }
outputs.tree = { to = "tree/{key}/", temp = true }
[pipelines.p.steps.use]
site = "far"
run = '''cat {in.make.big} {in.make.tree}/leaf > {out.small}'''
outputs.small = "small/{key}"
"""


def settle(rig, visits=1):
    rig.work()
    for _ in range(2):
        rig.visit()
        assert rig.work_there() == 0
    for _ in range(visits):
        rig.visit()


def made(rig):
    kept = (rig.far / "big", rig.far / "tree")
    return sorted(path.name for one in kept if one.exists() for path in one.iterdir())


def test_it_goes_when_its_last_successor_is_done(rig):
    rig.write(STEPS)
    rig.push("a", "b")
    rig.visit()
    assert rig.work_there() == 0
    rig.visit()
    assert made(rig) == ["a", "a", "b", "b"]
    assert rig.work_there() == 0
    rig.visit()
    assert made(rig) == []
    assert (rig.far / "small" / "a").read_text() == "a\na\n"
    assert set(rig.task_states().values()) == {"done"}
    assert rig.left_there() == []


def test_what_is_not_as_it_was_published_stays(rig):
    rig.write(STEPS)
    rig.push("a")
    rig.visit()
    assert rig.work_there() == 0
    rig.visit()
    assert rig.work_there() == 0
    (rig.far / "big" / "a").write_text("mine\n")
    (rig.far / "tree" / "a" / "note").write_text("mine, too\n")
    for _ in range(3):
        rig.visit()
    assert (rig.far / "big" / "a").read_text() == "mine\n"
    assert [path.name for path in (rig.far / "tree" / "a").iterdir()] == ["note"]


@pytest.mark.parametrize("point", ["visit.removing", "outpost.removed"])
def test_a_visit_that_dies_while_it_deletes_is_made_up_for(rig, point):
    rig.write(STEPS)
    rig.push("a")
    settle(rig, visits=0)
    near, far = (f"{point}=kill@1" if point.startswith(side) else "" for side in ("vis", "out"))
    assert rig.visit_apart(near, far=far) != 0
    assert made(rig) != []
    rig.visit()
    assert made(rig) == []
    rig.visit()


def test_done_again_it_is_made_again(rig):
    from integration.work.rig import ME
    from stoker.model.selection import Selection
    from stoker.store.orders import verbs

    rig.write(STEPS)
    rig.push("a")
    settle(rig)
    assert made(rig) == []
    verbs.rerun(rig.store, Selection(steps=("use",)), ME)
    settle(rig)
    assert len((rig.runs / "a").read_text().split()) == 2
    assert made(rig) == []
