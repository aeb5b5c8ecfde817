"""What a worker keeps of a step from one attempt to the next, and that nothing is mixed up by it."""

import pytest

from stoker.model.pipeline import Argv, Pipeline, Step
from stoker.model.sharing import Terms
from stoker.model.task import Claimed
from stoker.work.recipe import Recipe
from stoker.work.slot import Seat


def claimed(n: int, **more) -> Claimed:
    mine = {
        "attempt": bytes([n]) * 16,
        "task_id": n,
        "item_id": n,
        "version_id": 1,
        "pipeline": "p",
        "key": f"key {n}",
        "step": "s",
        "number": 1,
        "generation": 1,
        "tries": 0,
        "path": f"/data/{n}",
        "params": {},
        "meta": {},
        "cpus": 1,
        "memory_bytes": None,
    }
    return Claimed(**mine | more)


@pytest.fixture
def recipe():
    step = Step(name="s", action=Argv(words=("true",)))
    pipeline = Pipeline(name="p", folder="/x", steps=(step,))
    first = claimed(1, terms=Terms(secrets=("SECRET",), devices=("gpu",)))
    return Recipe(pipeline, first, ("ADDRESS",), "mark")


CLAIMS = [
    {},
    {"path": None},
    {"cpus": 2},
    {"memory_bytes": 5},
    {"params": {"gain": 1.5}},
    {"slots": {"gpu": ("0",)}},
    {"key": "\udcff", "path": "/data/\udcff"},
]


def test_what_is_kept_gives_the_same_environment_as_making_it_anew(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("ADDRESS", "x")
    seats = [Seat(str(tmp_path / name)) for name in ("a", "b")]
    for n, more in enumerate(CLAIMS * 2):
        for seat in seats:
            one = claimed(n + 1, **more)
            start = recipe.command(one, seat, {})
            pairs = [entry.partition(b"=") for entry in start.env]
            found = {name: value for name, _, value in pairs}
            assert len(found) == len(pairs)
            own = recipe._own_environment(one, seat, {})
            expected = {**recipe.shared, **own}
            assert found == {
                name.encode(): value.encode("utf-8", "surrogateescape")
                for name, value in expected.items()
            }
            assert not {b"SECRET", b"ADDRESS"} & found.keys()
            assert found[b"CUDA_VISIBLE_DEVICES"] == b",".join(
                slot.encode() for slot in one.slots.get("gpu", ())
            )


def test_a_nul_in_the_environment_is_refused(recipe, tmp_path):
    seat = Seat(str(tmp_path / "a"))
    with pytest.raises(ValueError, match="NUL"):
        recipe.command(claimed(1, key="a\0LD_PRELOAD=x"), seat, {})
