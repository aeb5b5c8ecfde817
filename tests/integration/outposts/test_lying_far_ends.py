"""A far end that lies, falls silent or asks for what is none of its business costs one visit."""

import json
import os
import threading
import time

import pytest

from integration.outposts.rig import Forked
from stoker.errors import StokerError
from stoker.outpost import sealed
from stoker.outpost.visit import Visit

HELLO = {"cpus": 2, "memory_bytes": 1 << 33, "free_bytes": 1, "bad": 0}
GREETING = {"stoker": "test", "protocol": [1, 1]}
SOUND = {"hello": HELLO, "list": {"attempts": {}, "starts": 0}}


def liar(answers):
    """A far end that answers each question as it is told; a text as it stands, None never."""

    def say(value):
        text = value if isinstance(value, str) else json.dumps(value)
        left = (text + "\n").encode()
        while left:
            left = left[os.write(1, left) :]

    def act():
        say(GREETING)
        with open(0, "rb", closefd=False) as questions:
            for line in questions:
                op = json.loads(line).get("op", "")
                answer = answers.get(op, {"ok": SOUND.get(op, {})})
                if answer is None:
                    time.sleep(60)
                say(answer)

    return lambda _command: Forked(act)


def visit(rig, answers, **more):
    entry = rig.entry()
    return Visit(
        rig.store,
        entry.outpost,
        place=entry.place,
        brings_worker=False,
        spawn=liar(answers),
        **more,
    ).run()


def ok(value):
    return {"ok": value}


LIES = {
    "no_answer": {"hello": "\n"},
    "no_object": {"hello": "[1]"},
    "no_json": {"hello": "{"},
    "deep": {"hello": "[" * 100_000},
    "text": {"hello": ok(HELLO | {"cpus": "2"})},
    "negative": {"hello": ok(HELLO | {"memory_bytes": -1})},
    "flag": {"hello": ok(HELLO | {"cpus": True})},
    "vast": {"hello": ok(HELLO | {"free_bytes": 1 << 80})},
    "lacking": {"hello": ok({})},
    "endless": {"list": "x" * (9 << 20)},
    "list_of_none": {"list": ok({"attempts": []})},
    "list_of_short": {"list": ok({"attempts": {"00": "done"}})},
    "list_of_numbers": {"list": ok({"attempts": {"0" * 32: 7}})},
    "error": {"list": {"error": {"code": "x", "text": ["\x1b[31m"]}}},
    "asks_out_of_turn": {"list": {"ask": "reserve", "wanted": []}},
}


def test_what_makes_no_sense_changes_nothing(rig):
    rig.write()
    rig.push("a")
    rig.work()
    rig.visit()
    before = rig.task_states(), [seen.state for seen in rig.all_attempts()]
    for answers in LIES.values():
        with pytest.raises(StokerError):
            visit(rig, answers)
        assert (rig.task_states(), [seen.state for seen in rig.all_attempts()]) == before
    rig.settle()
    rig.check("a")


def test_silence_ends_a_visit(rig):
    from stoker.outpost.dial import Line

    rig.write()
    began = time.monotonic()
    spawn = liar({"hello": None})
    with (
        pytest.raises(StokerError, match="did not answer"),
        Line(rig.entry().outpost, answer_s=0.3, spawn=spawn) as line,
    ):
        line.ask("hello")
    assert time.monotonic() - began < 30


def test_a_visit_that_waits_can_be_broken_off(rig):
    rig.write()
    entry = rig.entry()
    waiting = Visit(rig.store, entry.outpost, place=entry.place, spawn=liar({"hello": None}))
    began = time.monotonic()
    timer = threading.Timer(0.3, waiting.break_off)
    timer.start()
    with pytest.raises(StokerError, match="broke off"):
        waiting.run()
    timer.join()
    assert time.monotonic() - began < 15  # an answer has 20 s


def delivered(rig, **more):
    """The result of the one attempt that is out, as its worker wrote it, with changes."""
    (path,) = (rig.spool / "done").iterdir()
    return path.stem, sealed.read(str(path)) | more


def test_a_lie_about_one_attempt_costs_that_attempt(rig):
    """It fails with the reason, or is not recorded; the store stays sound, and nothing is published."""
    lies = [
        {"attempt": "x"},
        {"staged": [{"name": "none", "position": 0, "basename": "x", "size_bytes": 1, "checksum": "x"}]},
        {"staged": [{"name": "root", "position": 0, "basename": "b.root", "size_bytes": 1,
                     "checksum": "x"}]},
        {"result": {"attempt": "00" * 16}},
    ]  # fmt: skip
    keys = [f"k{at}" for at in range(len(lies))]
    rig.write()
    for key, lie in zip(keys, lies, strict=True):
        rig.push(key)
        rig.work()
        rig.visit()
        assert rig.work_there() == 0
        attempt, raw = delivered(rig)
        answers = {
            "list": ok({"attempts": {attempt: "done"}}),
            "results": ok({attempt: raw | lie if "attempt" not in lie else "nonsense"}),
        }
        assert visit(rig, answers).failed == 1
        assert rig.task_states()[f"{key}/make"] == "failed"
        rig.visit()  # the real far end forgets it
    assert rig.left_there() == []
    assert not (rig.far / "root").exists()


def test_a_far_end_cannot_have_anything_else_recorded_than_was_delivered(rig):
    rig.write()
    rig.push("a")
    rig.work()
    rig.visit()
    assert rig.work_there() == 0
    attempt, raw = delivered(rig)
    wanted = {
        "names": ["/etc/passwd"],
        "content": {"size_bytes": 5, "checksum": "xxh3:other"},
    }
    asked = {"ask": "reserve", "wanted": [wanted]}
    answers = {
        "list": ok({"attempts": {attempt: "done"}}),
        "results": ok({attempt: raw}),
        "publish": json.dumps(asked) + "\n" + json.dumps(ok({"failed": "refused", "cause": "x"})),
    }
    assert visit(rig, answers).failed == 1
    assert rig.outputs() == {}
    with rig.store.reading() as unit:
        from stoker.store import tables

        assert unit.execute(tables.publication.select()).fetchall() == []
