"""A persistent program may say and do anything: it costs its own task only, and never the worker."""

import json
import sys

import pytest

PROGRAM = """
import json, os, sys, time
n = 0
out = sys.stdout.buffer
def say(data):
    out.write(data); out.flush()
for line in sys.stdin:
    task = json.loads(line)
    n += 1
    what = json.load(open("answers.json")).get(task["key"])
    if what is not None:
        say(what.encode("latin-1"))
        os._exit(0) if task["key"].startswith("ends") else time.sleep(0.05)
    elif task["key"] == "closes":
        os.close(1); time.sleep(60)
    else:
        say(b'{"stoker":"done","values":{"n":%d,"pid":%d,"size":%d}}\\n' % (n, os.getpid(), len(line)))
"""
STEP = f"""
[pipelines.p.steps.s]
argv = ["{sys.executable}", "program.py"]
persistent = true
timeout = "12s"
error_markers = ["ERROR"]
"""
DONE = '{"stoker":"done","values":{"n":0}}\n'
LONG = 3_000_000
GOOD = {
    "noise": 'hello\n\xff\xfe\x00\r\n{"a": 1}\n{"x": {"stoker": 1}}\n{ no\n' + DONE,
    "a long line": "x" * LONG + "\n" + DONE,
    "a long line of braces": "{" * LONG + "\n" + DONE,
    "many lines": "line\n" * 200_000 + DONE,
    "blanks": ' \t{ "values" : {"n":0}, "stoker" : "done" } \n',
    "ends without a line end": DONE.strip(),
    "ends with a line that has no end": DONE + "and more",
    "late words": DONE + "ERROR: late\n",
    "nulls": '{"stoker":"done","values":null,"reason":null,"id":null}\n',
}
BAD = {
    "no JSON": '{"stoker":"done"\n',
    "not UTF-8": '{"stoker":"done","values":{"a":"\xff"}}\n',
    "another word": '{"stoker":"maybe"}\n',
    "no word": '{"stoker":{}}\n',
    "ready": '{"stoker":"ready"}\n',
    "another id": '{"stoker":"done","id":999999}\n',
    "text for an id": '{"stoker":"done","id":"1"}\n',
    "values": '{"stoker":"done","values":[1]}\n',
    "reason": '{"stoker":"failed","reason":1}\n',
    "deep": '{"stoker":' + "[" * 100_000 + "\n",
    "too long": '{"stoker":"done","values":{"a":"' + "x" * LONG + '"}}\n',
}
FAILED = {
    "fails": ('{"stoker":"failed","reason":"too dark"}\n', "too dark"),
    "fails without a word": ('{"stoker":"failed"}\n', "it answered `failed` without a reason"),
    "marked": ("ERROR: here\n" + DONE, "error marker in the output: ERROR: here"),
    "too many values": (
        '{"stoker":"done","values":{"a":"' + "x" * 70_000 + '"}}\n',
        "its values take 70009 bytes as JSON; 65536 are allowed",
    ),
    "ends": ("words\n", "the process ended by itself, with exit code 0, before it answered"),
}


@pytest.fixture
def program(rig):
    """Have a program serve tasks; it says what `answers` has for their keys."""

    def run(answers, *keys, more="", **item):
        (rig.folder / "answers.json").write_text(json.dumps(answers))
        (rig.folder / "program.py").write_text(PROGRAM)
        rig.write(STEP + more)
        rig.push(*(keys or answers), **item)
        rig.work(slots=2)
        return rig.attempts()

    return run


def test_noise_is_output_and_an_answer_among_it_is_found(rig, program):
    seen = program(GOOD)
    assert {key: one.reason for key, one in seen.items()} == dict.fromkeys(GOOD, "")
    said = {key: one.stdout.decode("latin-1") for key, one in seen.items()}
    assert said["noise"] == GOOD["noise"].removesuffix(DONE)
    assert said["a long line"] == "x" * LONG + "\n"
    assert said["many lines"] == "line\n" * 200_000
    assert said["late words"] == said["blanks"] == ""


def test_an_answer_that_cannot_be_read_costs_its_own_task_only(rig, program):
    answers = {**BAD, **{name: text for name, (text, _) in FAILED.items()}}
    keys = [one for name in answers for one in (name, f"after {name}")]
    seen = program(answers, *keys)
    assert len(rig.all_attempts()) == len(keys)
    assert {key: one.state for key, one in seen.items()} == {
        key: "failed" if key in answers else "succeeded" for key in keys
    }
    assert [key for key in BAD if "makes no sense" not in seen[key].reason] == []
    assert {key: seen[key].reason for key in FAILED} == {
        key: reason for key, (_, reason) in FAILED.items()
    }


def test_an_answer_that_nobody_asked_for_ends_the_process(rig, program):
    seen = program({"twice": DONE + DONE}, "twice", "next", "last")
    assert {key: one.task for key, one in seen.items()} == dict.fromkeys(seen, "done")


def test_a_program_that_closes_its_output_runs_into_the_time_limit(rig, program):
    seen = program({}, "closes", "next")
    assert (seen["closes"].state, seen["next"].state) == ("timed_out", "succeeded")


def test_a_task_longer_than_a_pipe_comes_whole(rig, program):
    seen = program({}, "a", params={"words": ["x" * 1000] * 3000})
    assert rig.values(seen["a"])["size"] > 3_000_000
    assert seen["a"].state == "succeeded"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ('["no-such-program"]', "`no-such-program` could not be started: No such file"),
        ('["./here.sh"]', "/here.sh` could not be started: Permission denied"),
        ('["sh", "-c", "exit 5"]', "exit code 5"),
        ('["sh", "-c", "exec sleep 60"]', "time limit of 1 s"),
    ],
)
def test_a_program_that_takes_no_task_fails_it(rig, argv, reason):
    (rig.folder / "here.sh").write_text("#!/bin/sh\n")
    rig.write(f'[pipelines.p.steps.s]\nargv = {argv}\npersistent = true\ntimeout = "1s"\n')
    rig.push("a", "b")
    rig.work(slots=1)
    assert [one.state for one in rig.all_attempts() if reason not in one.reason] == []
    assert len(rig.all_attempts()) == 2


def test_a_program_below_another_one_is_kept_by_its_second_process(rig, program):
    (rig.folder / "wrap.sh").write_text(f"{sys.executable} program.py\nexit $?\n")
    keys = [f"k{n}" for n in range(6)]
    (rig.folder / "answers.json").write_text("{}")
    (rig.folder / "program.py").write_text(PROGRAM)
    rig.write(STEP.replace(f'"{sys.executable}", "program.py"', '"sh", "wrap.sh"'))
    rig.push(*keys)
    rig.work(slots=1)
    values = [rig.values(one) for one in rig.all_attempts()]
    assert sorted(one["n"] for one in values) == [1, 1, 2, 3, 4, 5]
