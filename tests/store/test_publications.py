"""Published paths: whose they are, also one inside the other, and what may be replaced there."""

import pytest

from stoker.errors import OutputConflict
from store.rig import wanted

LONG = "/" + "/".join(["long" * 50] * 12)


@pytest.fixture
def two(rig, pipeline):
    """Two running tasks, each with the function that reserves paths for it."""
    rig.apply(pipeline(one=()))
    rig.push("a", "b")

    yield [Publishing(rig.link, task) for task in rig.claim(rig.worker(), 2)]
    rig.check()


class Publishing:
    """Called with what a task is to publish, it reserves that."""

    def __init__(self, link, task):
        self._link, self.task = link, task

    def __call__(self, *them):
        self._link.reserve(self.task.attempt, self.task.task_id, them)

    def contents(self, *paths):
        return self._link.contents_of(self.task.task_id, paths)


def test_a_published_path_stays_its_tasks(two):
    first, second = two
    first(wanted("/o/x"))
    with pytest.raises(OutputConflict, match="step `one` of `a`"):
        second(wanted("/o/mine"), wanted("/o/x"))
    first(wanted("/o/mine"))  # a refused reservation leaves nothing reserved


@pytest.mark.parametrize("root", ["", LONG], ids=["short", "long"])
def test_nobody_publishes_inside_or_around_what_is_anothers(two, root):
    first, second = two
    first(wanted(f"{root}/o/folder", parts=b""), wanted(f"{root}/o/deep/er/file"))
    for path in ("/o/folder/x", "/o/folder/x/y", "/o/deep/er/file/x"):
        with pytest.raises(OutputConflict, match="is inside"):
            second(wanted(root + path))
    for path in ("/o", "/o/deep", "/o/deep/er"):
        with pytest.raises(OutputConflict, match=r"inside of .* is "):
            second(wanted(root + path, parts=b""))
    second(wanted(f"{root}/o/folder2"), wanted(f"{root}/o/deep/er/file.txt"))
    second(wanted(f"{root}/o/deep/er/fil", parts=b""), wanted(f"{root}/o/folde"))


def test_the_task_itself_may_publish_inside_what_was_its_own(two):
    first, _ = two
    first(wanted("/o/folder", parts=b""))
    first(wanted("/o/folder/x"))
    first(wanted("/o", parts=b""))


def test_any_name_of_a_path_makes_it_anothers(two):
    first, second = two
    first(wanted("/link/x", names=("/link/x", "/real/x")))
    for names in (("/real/x",), ("/other/x", "/real/x"), ("/real/x/y",)):
        with pytest.raises(OutputConflict, match="`/real/x`"):
            second(wanted("", names=names))


def test_what_is_somebody_elses_is_refused_however_often_it_is_tried(two):
    first, _ = two
    for _ in range(2):
        with pytest.raises(OutputConflict, match="not ours"):
            first(wanted("/o/x", refusal="it is not ours"))


def test_what_was_there_and_what_is_to_come_are_known(two):
    first, _ = two
    them = [wanted("", parts=bytes([n]) * 100_000).content for n in range(3)]
    first(wanted("/o/d", content=them[0]))
    assert first.contents("/o/d", "/o/none") == {"/o/d": (them[0],)}
    first(wanted("/o/d", content=them[1], found=them[0]))
    assert first.contents("/o/d") == {"/o/d": (them[1], them[0])}
    first(wanted("/o/d", content=them[2], found=them[0]))  # the second never came
    assert first.contents("/o/d") == {"/o/d": (them[2], them[0])}
    first(wanted("/o/d", content=them[2], found=them[2]))
    assert first.contents("/o/d") == {"/o/d": (them[2], them[2])}
    first(wanted("/o/d", content=them[0]))  # a person deleted it
    assert first.contents("/o/d") == {"/o/d": (them[0],)}


def test_an_empty_folder_is_known_as_one(two):
    first, _ = two
    first(wanted("/o/d", parts=b""))
    assert first.contents("/o/d")["/o/d"][0].parts == b""


def test_what_is_another_tasks_is_not_told(two):
    first, second = two
    second(wanted("/o/x"))
    assert first.contents("/o/x") == {}


def test_many_paths_are_reserved_at_once(two):
    first, second = two
    many = [wanted(f"/o/{n}") for n in range(2_000)]
    first(*many)
    first(*many)
    assert len(first.contents(*(one.names[0] for one in many))) == 2_000
    with pytest.raises(OutputConflict):
        second(wanted("/p"), wanted("/o/1999"))


def gone(path, up_to, **more):
    """As `wanted`, where nothing is there but the folder `up_to`."""
    return wanted(path, reach=(up_to,), **more)


def test_a_path_at_which_nothing_is_any_more_is_nobodys(two, rig):
    first, second = two
    first(wanted("/o/x"), wanted("/o/y"), wanted("/o/folder", parts=b""))
    with pytest.raises(OutputConflict, match="stays its own"):
        second(gone("/o/x", "/o"))  # the other runs: it may be about to publish
    rig.end(first.task)
    with pytest.raises(OutputConflict, match="stays its own"):
        second(wanted("/o/x"))
    second(gone("/o/x", "/o"))
    assert second.contents("/o/x")
    assert not first.contents("/o/x")
    assert first.contents("/o/y")


@pytest.mark.parametrize("root", ["", LONG], ids=["short", "long"])
def test_so_is_what_was_inside_or_around_it(two, rig, root):
    first, second = two
    first(wanted(f"{root}/o/folder", parts=b"12345678"), wanted(f"{root}/o/deep/er/file"))
    rig.end(first.task)
    for refused in (
        gone(f"{root}/o/folder/x", f"{root}/o/folder"), wanted(f"{root}/o/deep", parts=b""),
    ):  # fmt: skip
        with pytest.raises(OutputConflict, match="inside"):
            second(refused)
    second(gone(f"{root}/o/folder/x", f"{root}/o"), gone(f"{root}/o/deep", f"{root}/o", parts=b""))
    assert not first.contents(f"{root}/o/folder", f"{root}/o/deep/er/file")


@pytest.mark.parametrize("is_running", [False, True])
def test_a_removed_step_gives_its_paths_to_the_same_item(rig, pipeline, is_running):
    rig.apply(pipeline(one=()))
    rig.push("a", "b")
    worker = rig.worker(slots=8)
    old = [Publishing(rig.link, task) for task in rig.claim(worker, 2)]
    for one in old:
        one(wanted(f"/o/{one.task.key}"), wanted(f"/o/{one.task.key}.d", parts=b"12345678"))
        if not is_running:
            rig.end(one.task)
    rig.apply(pipeline(two=()))
    new = {task.key: Publishing(rig.link, task) for task in rig.claim(worker, 2)}
    for path in ("/o/b", "/o/b.d", "/o/b.d/x"):
        with pytest.raises(OutputConflict, match="step `one` of `b`"):
            new["a"](wanted(path))
    assert bool(new["a"].contents("/o/a", "/o/a.d")) != is_running
    mine = (wanted("/o/a"), wanted("/o/a.d/x"), wanted("/o", parts=b""))
    if is_running:
        for path in mine[:2]:
            with pytest.raises(OutputConflict):
                new["a"](path)
        return
    new["a"](*mine[:2])
    assert set(new["a"].contents("/o/a", "/o/a.d", "/o/a.d/x")) == {"/o/a", "/o/a.d", "/o/a.d/x"}
    with pytest.raises(OutputConflict, match="step `one` of `b`"):
        new["a"](mine[2])
    with pytest.raises(OutputConflict, match="step `two` of `a`"):
        new["b"](wanted("/o/a"))
    rig.check()
