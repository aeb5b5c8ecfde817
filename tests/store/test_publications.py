"""Published paths: whose they are, also one inside the other, and what may be replaced there."""

import pytest

from stoker.errors import OutputConflict
from stoker.store import publications
from store.rig import wanted

LONG = "/" + "/".join(["long" * 50] * 12)


@pytest.fixture
def two(rig, pipeline):
    """Two running tasks, each with the function that reserves paths for it."""
    rig.apply(pipeline(one=()))
    rig.push("a", "b")

    yield [Publishing(rig.store, task) for task in rig.claim(rig.worker(), 2)]
    rig.check()


class Publishing:
    """Called with what a task is to publish, it reserves that."""

    def __init__(self, store, task):
        self._store, self._task = store, task

    def __call__(self, *them):
        publications.reserve(self._store, self._task.attempt, self._task.task_id, them)

    def contents(self, *paths):
        return publications.contents_of(self._store, self._task.task_id, paths)


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
