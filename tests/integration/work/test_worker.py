"""A real worker on real commands: what it does, what it records, and what it leaves (nothing)."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from integration.work.rig import wait_until, worker_command
from stoker.model.worker import NewWorker, WorkLeft
from stoker.store.claims import claim, workers
from stoker.store.ends import finish
from stoker.work import contain, reports, room, worker
from stoker.work.pyfunc import PythonProcess
from stoker.work.scratch import process_start
from stoker.work.warmers import Warmers
from store.rig import set_pools


def test_a_command_runs_and_its_end_is_recorded(rig):
    seen = rig.run('[pipelines.p.steps.s]\nrun = "echo out; echo err >&2"')["k"]
    assert (seen.task, seen.state) == ("done", "succeeded")
    assert (seen.stdout, seen.stderr) == (b"out\n", b"err\n")
    row = seen.row
    assert (row.exit_code, row.signal, row.reason) == (0, None, None)
    assert row.pid > 0
    assert row.command.startswith("bash -euo pipefail -c")
    assert row.claimed_us <= row.started_us <= row.ended_us


def test_an_attempt_sees_its_item_and_its_own_empty_scratch(rig):
    rig.write(
        """
        [pipelines.p.params]
        gain = { type = "number", default = 1.5 }
        omit = { type = "list", items = "string", default = ["a b", "c"] }
        [pipelines.p.steps.s]
        run = '''
        test "$PWD" = "$STOKER_SCRATCH" && test -z "$(ls -A)"
        for v in ATTEMPT ITEM KEY STEP PIPELINE CPUS PARAM_GAIN PARAM_OMIT; do
            n=STOKER_$v; printf '%s=%s\\n' $v "${!n-unset}"
        done
        stat -c %a .
        '''
        """,
        items="files",
    )
    path = rig.folder / "a file"
    path.touch()
    rig.push_file(path, "the key")
    rig.work()
    seen = rig.attempts()["the key"]
    lines = seen.stdout.decode().splitlines()
    assert seen.state == "succeeded", seen.stderr
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert found["ITEM"] == str(path)
    assert found["KEY"] == "the key"
    assert (found["STEP"], found["PIPELINE"], found["CPUS"]) == ("s", "p", "1")
    assert found["PARAM_GAIN"] in ("1.5", "unset")
    assert lines[-1] == "700"


def test_outputs_reach_the_next_step(rig):
    rig.write(
        """
        [pipelines.p.steps.one]
        run = "echo {key} > {out.a}"
        outputs.a = "results/{key}.txt"
        [pipelines.p.steps.two]
        run = "cat {in.one.a}"
        """
    )
    rig.push("x", "y")
    rig.work()
    ends = {(seen.key, seen.step): seen for seen in rig.all_attempts()}
    assert {seen.task for seen in ends.values()} == {"done"}
    assert ends["x", "two"].stdout == b"x\n"
    path = rig.folder / "results" / "x.txt"
    recorded = rig.outputs()[str(path)]
    assert (recorded.size_bytes, path.read_text()) == (2, "x\n")


def test_values_reach_the_next_step(rig):
    rig.write(
        """
        [pipelines.p.steps.one]
        run = 'echo "{\\"n\\": 3, \\"bad\\": NaN}" > "$STOKER_VALUES"'
        [pipelines.p.steps.two]
        run = "echo {in.one.values.n}"
        when = "values.one.n == 3"
        """
    )
    rig.push("x")
    rig.work()
    one, two = rig.all_attempts()
    assert rig.values(one) == {"n": 3, "bad": None}
    assert two.stdout == b"3\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no json", "not JSON"),
        ("[1]", "not contain a JSON object"),
        (f'{{"a": "{"x" * 70_000}"}}', "65536"),
    ],
    ids=["text", "list", "long"],
)
def test_values_that_are_none_fail_the_attempt(rig, text, says):
    (rig.folder / "values").write_text(text)
    seen = rig.run(f'[pipelines.p.steps.s]\nrun = "cat {rig.folder}/values > $STOKER_VALUES"')["k"]
    assert seen.state == "failed"
    assert says in seen.reason


def test_a_false_condition_skips_without_a_process(rig):
    rig.write('[pipelines.p.steps.s]\nrun = "touch {key}"\nwhen = "key == \\"x\\""')
    rig.push("x", "y")
    rig.work()
    assert rig.task_states() == {"x/s": "done", "y/s": "skipped"}
    assert rig.attempts()["y"].row.pid is None
    assert rig.attempts()["y"].reason.startswith("`when` is false")


def test_a_condition_that_cannot_be_decided_fails_and_says_so(rig):
    seen = rig.run('[pipelines.p.steps.s]\nrun = "true"\nwhen = "meta.kind == 1"')["k"]
    assert (seen.task, seen.state) == ("failed", "failed")
    assert "meta.kind" in seen.reason


def test_a_missing_file_fails_before_anything_starts(rig):
    rig.write('[pipelines.p.steps.s]\nrun = "cat {item}"', items="files")
    rig.push_file(rig.folder / "gone", "k")
    rig.work()
    seen = rig.attempts()["k"]
    assert (seen.state, seen.row.pid) == ("failed", None)
    assert seen.reason == f"the item's file `{rig.folder}/gone` is gone"


def test_steps_that_do_not_name_the_item_run_when_its_file_is_gone(rig):
    rig.write(
        """
        [pipelines.p.steps.first]
        run = "echo $(basename {key}) > {out.n}"
        outputs.n = "results/{key}.n"
        [pipelines.p.steps.second]
        argv = ["cat", "{in.first.n}"]
        [pipelines.p.steps.by_name]
        run = 'cat "$STOKER_ITEM"'
        after = ["second"]
        """,
        items="files",
    )
    rig.push_file(rig.folder / "gone", "k")
    rig.work()
    assert rig.task_states() == {"k/first": "done", "k/second": "done", "k/by_name": "failed"}
    failed = next(one for one in rig.attempts().values() if one.step == "by_name")
    assert "is gone" in failed.reason


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "it's",
        'say "hi"',
        "-rf",
        "$(touch pwned)",
        "`touch pwned`",
        "new\nline",
        "*",
        "a;b",
        os.fsdecode(b"\xff\xfe"),
    ],
)
def test_no_name_of_a_file_does_any_harm(rig, name):
    rig.write(
        """
        [pipelines.p.steps.one]
        run = 'cat -- {item} > {out.a}; ls'
        outputs.a = "results/{key}.txt"
        [pipelines.p.steps.two]
        argv = ["cat", "--", "{item}", "{in.one.a}"]
        """,
        items="files",
    )
    path = rig.folder / "data" / name
    path.parent.mkdir()
    path.write_text("content")
    rig.push_file(path, "k%" + name.encode("utf-8", "surrogateescape").hex())
    rig.work()
    assert {seen.state for seen in rig.all_attempts()} == {"succeeded"}
    assert rig.all_attempts()[0].stdout == b"out\n"
    assert rig.all_attempts()[1].stdout == b"contentcontent"


# ------------------------------------------------------------------------------------------ failures


def test_a_program_that_is_not_there_is_named(rig):
    seen = rig.run('[pipelines.p.steps.s]\nargv = ["no-such-tool"]')["k"]
    assert (seen.state, seen.row.exit_code) == ("failed", None)
    assert seen.reason == "`no-such-tool` could not be started: No such file or directory"


def test_a_signal_is_recorded(rig):
    seen = rig.run('[pipelines.p.steps.s]\nrun = "kill -SEGV $$"')["k"]
    assert (seen.state, seen.row.exit_code, seen.row.signal) == ("failed", None, signal.SIGSEGV)
    assert "SIGSEGV" in seen.reason


def test_the_steps_exits_and_reason_are_heeded(rig):
    rig.write(
        """
        [pipelines.p.steps.s]
        run = 'echo "lamp {key} is dark" > "$STOKER_REASON"; exit {key}'
        exits = { 3 = "skip", 4 = "fail" }
        retries = 3
        """
    )
    rig.push("3", "4")
    rig.work()
    assert rig.task_states() == {"3/s": "skipped", "4/s": "failed"}
    assert rig.attempts()["4"].reason == "lamp 4 is dark"
    assert rig.attempts()["4"].row.cause == "lamp 4 is dark"


def test_an_exit_that_stops_the_item_demands_no_outputs(rig):
    rig.write(
        """
        [pipelines.p.steps.s]
        run = 'if [ {key} = made ]; then echo x > {out.one}; fi; exit 9'
        exits = { 9 = "stop" }
        outputs.one = "results/{key}.one"
        outputs.two = "results/{key}.two"
        outputs.logs = { from = "*.log", to = "results/logs/" }
        [pipelines.p.steps.t]
        run = "cat {in.s.one}"
        """
    )
    rig.push("made", "none")
    rig.work()
    states = {"made/s": "done", "none/s": "done", "made/t": "skipped", "none/t": "skipped"}
    assert rig.task_states() == states
    assert sorted(path.name for path in (rig.folder / "results").iterdir()) == ["made.one"]


def test_what_a_skipped_step_would_have_left_is_empty(rig):
    rig.write(
        """
        [pipelines.p.steps.s]
        run = "exit {key}"
        exits = { 3 = "skip" }
        when = 'key != "w"'
        outputs.one = "results/{key}.one"
        outputs.some = { from = "*", to = "results/{key}/" }
        [pipelines.p.steps.t]
run = '''printf '<%s>' {in.s.one} "{in.s.values.n}" {in.s.some}; [ -z {in.s.one} ]'''
        [pipelines.p.steps.u]
        argv = ["printf", "<%s>", "a", ["b", "{in.s.one}"], "{in.s.values.n}"]
        [pipelines.p.steps.v]
        run = "echo rm -rf {in.s.one}/tmp"
        """
    )
    rig.push("3", "w")
    rig.work()
    seen = {(one.key, one.step): one for one in rig.all_attempts()}
    for key in ("3", "w"):
        assert (seen[key, "s"].task, seen[key, "t"].task) == ("skipped", "done")
        assert seen[key, "t"].stdout == b"<><>"
        assert seen[key, "u"].stdout == b"<a><>"
        assert seen[key, "v"].row.pid is None
        assert seen[key, "v"].reason.startswith("`{in.s.one}` is empty")


def test_a_failed_task_is_tried_again_after_its_back_off(rig):
    rig.write('[pipelines.p.steps.s]\nrun = "exit 1"\nretries = 2\nbackoff = "0.1s"')
    rig.push("k")
    rig.work()
    assert [seen.state for seen in rig.all_attempts()] == ["failed"] * 3
    assert rig.task_states() == {"k/s": "failed"}


def test_a_time_limit_ends_the_whole_tree_though_term_is_ignored(rig, monkeypatch):
    monkeypatch.setattr("stoker.work.executor.GRACE_S", 0.2)
    script = "trap '' TERM; sleep 1000 & echo $! > {here}/pid; while true; do sleep 1; done"
    rig.write(
        f"[pipelines.p.steps.s]\nrun = '''{script.replace('{here}', str(rig.folder))}'''\n"
        'timeout = "0.3s"'
    )
    rig.push("k")
    rig.work()
    seen = rig.attempts()["k"]
    assert seen.state == "timed_out"
    assert "time limit" in seen.reason
    assert process_start(int((rig.folder / "pid").read_text())) is None


def test_a_memory_limit_ends_the_attempt(rig):
    code = "x = bytearray(200 << 20); import time; time.sleep(60)"
    seen = rig.run(f'[pipelines.p.steps.s]\nargv = ["python3", "-c", "{code}"]\nmemory = \'50M\'')[
        "k"
    ]
    assert seen.state == "out_of_memory"
    assert "has 50 MiB" in seen.reason


def test_a_flood_on_stderr_is_survived_and_bounded(rig):
    seen = rig.run(
        """
        [pipelines.p.steps.s]
        run = 'echo first >&2; head -c 300M /dev/zero | tr "\\0" y >&2; echo last >&2'
        """
    )["k"]
    assert seen.state == "succeeded"
    assert seen.row.stderr_size == 300 * 1024 * 1024 + 11
    assert seen.row.stderr_truncated
    text = seen.stderr
    assert len(text) < 11 * 1024 * 1024
    assert text.startswith(b"first\nyy")
    assert text.endswith(b"yylast\n")


def test_a_step_may_delete_its_own_scratch(rig):
    rig.write(
        """
        [pipelines.p.steps.s]
        run = 'rm -rf "$STOKER_SCRATCH"; echo gone'
        [pipelines.p.steps.t]
        run = 'rm -rf "$STOKER_SCRATCH"; echo {out.a}'
        outputs.a = "a.txt"
        """
    )
    rig.push("k")
    rig.work()
    one, two = rig.all_attempts()
    assert (one.state, one.stdout) == ("succeeded", b"gone\n")
    assert two.state == "failed"
    assert two.reason.startswith("output `a` was not made")


def test_a_step_may_put_a_link_in_place_of_its_scratch(rig):
    precious = rig.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    rig.run(
        f'[pipelines.p.steps.s]\nrun = \'cd /; rm -r "$STOKER_SCRATCH"; '
        f'ln -s {precious} "$STOKER_SCRATCH"\'',
        "a",
        "b",
    )
    assert (precious / "file").read_text() == "keep"


def test_files_of_one_attempt_are_not_seen_by_the_next(rig):
    rig.write("[pipelines.p.steps.s]\nrun = 'ls -A; touch left .hidden; mkdir -p a/b'")
    rig.push(*(f"k{n}" for n in range(10)))
    rig.work(slots=1)
    assert {seen.stdout for seen in rig.all_attempts()} == {b""}


DAEMONS = {
    "in the background": "sleep 1000 &",
    "in its own session": "setsid sleep 1000 &",
    "forked twice": "(setsid sleep 1000 & ) &",
    "ignoring TERM": "(trap '' TERM HUP; setsid sleep 1000 &)",
    "without environment": "env -i setsid sleep 1000 &",
    "without streams": "setsid sleep 1000 > /dev/null 2>&1 < /dev/null &",
    "renamed": "(exec -a innocent setsid sleep 1000) &",
}


@pytest.mark.parametrize("daemon", DAEMONS.values(), ids=DAEMONS.keys())
def test_nothing_that_an_attempt_started_outlives_it(rig, daemon):
    own = own_time()
    command = daemon.replace("1000", own)
    seen = rig.run(f"[pipelines.p.steps.s]\nrun = '''{command}\nsleep 0.1'''")["k"]
    assert seen.state == "succeeded"
    assert sleepers(own) == set()


def own_time() -> str:
    """Return a time to sleep that is this test's own; others sleep beside it."""
    return f"1000.{uuid4().int}"


def sleepers(seconds: str) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if seconds.encode() in words and process_start(int(entry.name)) is not None:
                found.add(int(entry.name))
    return found


def test_a_file_of_somebody_else_is_not_overwritten(rig):
    (rig.folder / "a.txt").write_text("precious")
    seen = rig.run(
        "[pipelines.p.steps.s]\nrun = 'echo new > {out.a}'\noutputs.a = 'a.txt'\nretries = 2"
    )["k"]
    assert (seen.task, seen.row.cause) == ("failed", "output_conflict")
    assert (rig.folder / "a.txt").read_text() == "precious"


def test_two_items_cannot_publish_to_one_path(rig):
    rig.write("[pipelines.p.steps.s]\nrun = 'echo {key} > {out.a}'\noutputs.a = 'a.txt'")
    rig.push("x", "y")
    rig.work()
    assert sorted(rig.task_states().values()) == ["done", "failed"]
    loser = next(seen for seen in rig.all_attempts() if seen.task == "failed")
    assert loser.row.cause == "output_conflict"
    assert "step `s` of" in loser.reason


def test_an_output_staged_beside_its_target_leaves_nothing_hidden(rig):
    seen = rig.run(
        """
        [pipelines.p.steps.s]
        run = 'echo {out.a} >&2; echo x > {out.a}; test {key} = good'
        outputs.a = { to = "results/{key}.txt", stage = "beside" }
        """,
        "good",
        "bad",
    )
    assert f"{rig.folder}/results/.stoker-".encode() in seen["good"].stderr
    assert [path.name for path in (rig.folder / "results").iterdir()] == ["good.txt"]


# --------------------------------------------------------------------------------------- python steps


@pytest.fixture
def python(rig):
    """Write a module with function `f` and run it for some keys."""

    def run(body: str, *keys: str, more: str = ""):
        code = "import os, sys, time\n" + body
        (rig.folder / "steps.py").write_text(code)
        return rig.run(f'[pipelines.p.steps.s]\npython = "steps:f"\n{more}', *keys)

    return run


def test_one_warm_process_serves_many_tasks(rig, python):
    python(
        "def f(task):\n"
        "    print(task.key)\n"
        "    return {'pid': os.getpid(), 'key': task.key, 'here': os.getcwd()}\n",
        *(f"k{n:02}" for n in range(40)),
    )
    seen = rig.all_attempts()
    assert {one.state for one in seen} == {"succeeded"}
    assert len({rig.values(one)["pid"] for one in seen}) <= 2
    for one in seen:
        assert one.stdout.decode() == f"{one.key}\n"
        assert rig.values(one)["key"] == one.key
        assert rig.values(one)["here"].startswith(str(rig.folder / ".stoker" / "scratch"))


def test_a_function_gets_paths_and_what_came_before(rig):
    (rig.folder / "steps.py").write_text(
        "def one(task):\n"
        "    task.outputs['a'].write_text(task.item.read_text() + task.key)\n"
        "    return {'n': 3, 'where': task.outputs['a'], 'nan': float('nan')}\n"
        "def two(task):\n"
        "    assert task.inputs['one']['a'].read_text() == 'contentk'\n"
        "    return {'n': task.values['one']['n'] + 1, 'params': task.params}\n"
    )
    rig.write(
        """
        [pipelines.p.steps.one]
        python = "steps:one"
        outputs.a = "results/{key}.txt"
        [pipelines.p.steps.two]
        python = "steps:two"
        after = ["one"]
        """,
        items="files",
    )
    (rig.folder / "in put").write_text("content")
    rig.push_file(rig.folder / "in put", "k")
    rig.work()
    one, two = rig.all_attempts()
    assert (one.state, two.state) == ("succeeded", "succeeded"), (one.reason, two.reason)
    assert rig.values(one)["nan"] is None
    assert rig.values(two)["n"] == 4
    assert (rig.folder / "results" / "k.txt").read_text() == "contentk"


BAD = {
    "raises": ("raise ValueError('bad head')", "ValueError: bad head"),
    "exits": ("sys.exit(3)", "exit code 3"),
    "exits with words": ("sys.exit('no lamp')", "exit code 1: no lamp"),
    "leaves at once": ("os._exit(7)", "exit code 7"),
    "leaves at once, well": ("os._exit(0)", "before the function returned"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "kills itself": ("os.kill(os.getpid(), 9)", "SIGKILL"),
    "closes all files": ("os.closerange(0, 1000); raise OSError", "exit"),
    "returns a list": ("return [1]", "it returned `list`"),
    "returns no JSON": ("return {'x': object()}", "not JSON"),
    "returns too much": ("return {'x': 'y' * 70000}", "65536 are allowed"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
}


@pytest.mark.parametrize(("line", "says"), BAD.values(), ids=BAD.keys())
def test_what_a_function_does_costs_only_its_own_task(rig, python, line, says):
    python(
        f"def f(task):\n    if task.key == 'k03':\n        {line}\n    return {{'n': 1}}\n",
        *(f"k{n:02}" for n in range(8)),
    )
    seen = {one.key: one for one in rig.all_attempts()}
    assert len(rig.all_attempts()) == 8
    bad = seen.pop("k03")
    assert (bad.state, bad.task) == ("failed", "failed")
    assert says in bad.reason
    assert {one.state for one in seen.values()} == {"succeeded"}


def test_a_traceback_is_on_stderr_without_our_own_frames(python):
    seen = python("def f(task):\n    return deeper()\ndef deeper():\n    return 1 / 0\n")["k"]
    assert seen.row.cause == "ZeroDivisionError: division by zero"
    assert b"steps.py" in seen.stderr
    assert b"warm.py" not in seen.stderr


def test_a_module_that_cannot_be_imported_is_a_clear_failure(python):
    seen = python("import no_such_module_at_all\ndef f(task):\n    pass\n")["k"]
    assert seen.reason == "ModuleNotFoundError: No module named 'no_such_module_at_all'"


def test_a_function_that_hangs_runs_into_its_time_limit(rig, python):
    seen = python(
        "def f(task):\n    while task.key == 'b':\n        time.sleep(1)\n",
        *"abcde",
        more='timeout = "3s"',
    )
    assert seen.pop("b").state == "timed_out"
    assert {one.state for one in seen.values()} == {"succeeded"}


def test_processes_that_a_function_left_are_gone_after_it(rig, python):
    own = own_time()
    python(
        "import subprocess\n"
        "def f(task):\n"
        f"    subprocess.Popen(['setsid', 'sleep', '{own}'])\n"
        "    return {'pid': os.getpid()}\n",
        *"abc",
    )
    assert sleepers(own) == set()
    assert len({rig.values(one)["pid"] for one in rig.all_attempts()}) == 3


def test_the_worker_waits_for_a_process_that_takes_its_time_to_die(rig, python, monkeypatch):
    before, looks, reap = set(contain.children(os.getpid())), count(), contain._reap
    monkeypatch.setattr(contain, "_reap", lambda pid: next(looks) > 20 and reap(pid))
    python("def f(task):\n    if os.fork() == 0:\n        time.sleep(1000)\n")
    assert set(contain.children(os.getpid())) <= before


def test_a_fork_that_comes_back_from_the_function_does_no_harm(rig, python):
    python("def f(task):\n    return {'child': os.fork() == 0}\n", *"abcd")
    assert [rig.values(one) for one in rig.all_attempts()] == [{"child": False}] * 4


def test_a_function_may_print_more_than_the_store_takes(rig, python):
    python("def f(task):\n    print('x' * 100_000)\n    print('tail', file=sys.stderr)\n", *"abcd")
    for one in rig.all_attempts():
        assert one.state == "succeeded"
        assert len(one.stdout) == 100_001
        assert one.stderr == b"tail\n"


def test_streams_and_environment_are_put_right_after_each_task(rig, python):
    python(
        "def f(task):\n"
        "    assert 'LEFT' not in os.environ and os.environ['STOKER_KEY'] == task.key\n"
        "    os.environ['LEFT'] = '1'; os.environ.pop('STOKER_ITEM'); os.chdir('/')\n"
        "    sys.stdout = open(os.devnull, 'w')\n"
        "    os.write(1, task.key.encode())\n"
        "    os.close(1)\n",
        *(f"k{n}" for n in range(6)),
    )
    seen = rig.all_attempts()
    assert {one.state for one in seen} == {"succeeded"}, [one.reason for one in seen]
    assert [one.stdout.decode() for one in seen] == [one.key for one in seen]


def other_interpreter() -> str | None:
    """Return the oldest Python here that can run what a warm process runs, other than our own."""
    for name in ("3.8", "3.9", "3.10", "3.12", "3.13", "3"):
        path = shutil.which(f"python{name}", path=f"{os.environ['PATH']}:/usr/bin")
        if path is None or Path(path).samefile(sys.executable):
            continue
        command = [path, "-c", "import sys; assert sys.version_info >= (3, 8)"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return path
    return None


def test_another_interpreter_needs_nothing_of_ours(rig, python):
    other = other_interpreter()
    if other is None:
        pytest.skip("no other interpreter")
    seen = python(
        "def f(task):\n    return {'exe': sys.executable, 'key': task.key}\n",
        "k",
        more=f'interpreter = "{other}"',
    )["k"]
    assert seen.state == "succeeded", seen.reason
    assert rig.values(seen)["exe"] != sys.executable
    assert rig.values(seen)["key"] == "k"


def test_a_missing_interpreter_is_named(python):
    seen = python("def f(task):\n    pass\n", "k", more='interpreter = "/no/such/python"')["k"]
    assert seen.reason == "`/no/such/python` could not be started: No such file or directory"


def test_a_changed_module_is_taken_up(rig, python):
    first = python("def f(task):\n    return {'n': 1}\n", "a")
    assert rig.values(first["a"]) == {"n": 1}
    (rig.folder / "steps.py").write_text("def f(task):\n    return {'n': 2}\n")
    rig.push("b")
    rig.work()
    assert rig.values(rig.attempts()["b"]) == {"n": 2}


# -------------------------------------------------------------------------------------------- prepare


def test_the_environment_after_prepare_is_what_attempts_get(rig):
    rig.write(
        f"""
        [pipelines.p.steps.s]
        prepare = "export LAMP='on  fire'; echo once >> {rig.folder}/count"
        run = 'echo "$LAMP"'
        """
    )
    rig.push(*"abcdef")
    rig.work()
    assert {one.stdout for one in rig.all_attempts()} == {b"on  fire\n"}
    assert (rig.folder / "count").read_text() == "once\n"


MODULES = """
module() { if [ "$1" = load ]; then LOADEDMODULES="$2$UNSET" PATH="/opt/$2/bin:$PATH"; fi; export LOADEDMODULES; }
"""


def test_an_environment_beside_the_project_and_a_function_module_are_prepared(rig):
    """As the guide to environments has it; such functions read variables that nobody has set."""
    (rig.folder / "modules.sh").write_text(MODULES)
    activate = rig.folder / "env" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text('export PATH="$(dirname "$BASH_SOURCE"):$PATH" PS1="(env) $PS1"')
    tool = activate.with_name("only-here")
    tool.write_text("#!/bin/sh\necho found")
    tool.chmod(0o755)
    rig.write(
        """
        [pipelines.p.steps.s]
        prepare = '''
        source "$STOKER_PROJECT/env/bin/activate"
        source "$STOKER_PROJECT/modules.sh" && module load matlab/2024b
        '''
        run = 'only-here; echo "$LOADEDMODULES ${PATH%%:*}"'
        """
    )
    rig.push("a")
    rig.work()
    (attempt,) = rig.all_attempts()
    assert attempt.stdout == b"found\nmatlab/2024b /opt/matlab/2024b/bin\n"


def test_a_failed_prepare_fails_the_attempts_with_its_words(rig):
    seen = rig.run(
        "[pipelines.p.steps.s]\nprepare = 'echo no such module >&2; false'\nrun = 'true'"
    )["k"]
    assert (seen.state, seen.reason) == ("failed", "prepare failed: no such module")


def test_no_secret_reaches_a_step_that_does_not_ask_for_it(rig, monkeypatch):
    monkeypatch.setenv("TOKEN_A", "secret")
    monkeypatch.setenv("PLAIN_A", "plain")
    rig.write(
        """
        [pipelines.p.steps.one]
        run = 'echo "${TOKEN_A-none} ${PLAIN_A-none}"'
        [pipelines.p.steps.two]
        run = 'echo "${TOKEN_A-none}"'
        secrets = ["TOKEN_A"]
        """,
        extra='[secrets]\nnames = ["TOKEN_A"]',
    )
    rig.push("k")
    rig.work()
    ends = {seen.step: seen.stdout for seen in rig.all_attempts()}
    assert ends == {"one": b"none plain\n", "two": b"secret\n"}


def test_a_running_worker_heeds_new_secrets_and_new_devices(rig, monkeypatch):
    """In commands, and in warm functions, whose process had the variable before."""
    monkeypatch.setenv("TOKEN_A", "value")
    steps = """
        [pipelines.p.steps.one]
        prepare = 'export AT_FIRST="${TOKEN_A-none}"'
        run = 'echo "${TOKEN_A-none} $AT_FIRST ${CUDA_VISIBLE_DEVICES-unset}"'
        pools = { gpu = 1 }
        [pipelines.p.steps.warm]
        python = "look:see"
        [pipelines.p.steps.asks]
        run = 'echo "${TOKEN_A-none}"'
    """
    (rig.folder / "look.py").write_text(
        "import os\ndef see(task):\n    print(os.environ.get('TOKEN_A', 'none'))\n"
    )
    secret = '[pools]\ngpu = { slots = ["7"], kind = "gpu" }\n[secrets]\nnames = ["TOKEN_A"]'
    rig.write(steps, extra='[pools]\ngpu = { slots = ["7"] }')
    rig.push("before")
    worker = subprocess.Popen(worker_command(rig))
    try:
        wait_until(lambda: len(done(rig)) == 3, "the worker works")
        rig.write(steps, extra=secret)
        rig.push("secret")
        wait_until(lambda: len(done(rig)) == 6, "it goes on")
        rig.write(steps + '\nsecrets = ["TOKEN_A"]', extra=secret)
        rig.push("listed")
        wait_until(lambda: len(done(rig)) == 9, "it goes on")
    finally:
        worker.terminate()
        worker.wait(30)
    assert {key: seen.stdout.decode().strip() for key, seen in done(rig).items()} == {
        "before/one": "value value unset", "before/warm": "value", "before/asks": "value",
        "secret/one": "none none 7", "secret/warm": "none", "secret/asks": "none",
        "listed/one": "none none 7", "listed/warm": "none", "listed/asks": "value",
    }  # fmt: skip


def done(rig):
    return {f"{one.key}/{one.step}": one for one in rig.all_attempts() if one.state == "succeeded"}


def test_a_worker_never_runs_more_at_once_than_it_has_slots(rig):
    rig.write(
        f"""
        [pipelines.p.steps.s]
        run = '''
        touch {rig.folder}/now.$$; ls {rig.folder} | grep -c '^now' ; sleep 0.05
        rm {rig.folder}/now.$$
        '''
        """
    )
    rig.push(*(f"k{n}" for n in range(24)))
    rig.work(slots=3)
    assert max(int(seen.stdout) for seen in rig.all_attempts()) == 3


def test_wide_tasks_take_their_slots(rig):
    rig.write(
        f"""
        [pipelines.p.steps.s]
        cpus = 2
        run = '''
        touch {rig.folder}/now.$$; ls {rig.folder} | grep -c '^now' ; sleep 0.05
        rm {rig.folder}/now.$$
        '''
        """
    )
    rig.push(*(f"k{n}" for n in range(6)))
    rig.work(slots=2)
    assert {seen.stdout for seen in rig.all_attempts()} == {b"1\n"}


def test_events_tell_how_it_goes(rig):
    wait = f"until test -e {rig.folder}/go-%s; do sleep 0.02; done"
    rig.write(
        f"[pipelines.p.steps.s]\nrun = 'case {{key}} in a|b) {wait % 1};; *) {wait % 2};; esac'"
    )
    rig.push(*"abcd")
    events = []

    def see(event):
        events.append(event)
        if len(event.running) == 2:
            (rig.folder / "go-1").touch()
        if event.done == 2:
            (rig.folder / "go-2").touch()

    rig.worker(on_event=see).work()
    assert any(len(event.running) == 2 for event in events)
    assert events[-1].done >= 2
    assert all(event.failed == 0 for event in events)


def test_nothing_to_do_ends_without_waiting(rig, monkeypatch):
    monkeypatch.setattr("stoker.work.claims.PAUSE_MOST_S", 600.0)
    rig.write("[pipelines.p.steps.s]\nrun = 'true'")
    assert rig.work().done == 0


def test_a_worker_that_drains_stays_for_a_slot_that_is_seldom_free(rig, monkeypatch):
    """Each of its looks falls between the end of another's attempt and that one's next claim."""
    rig.write(
        '[pipelines.p.steps.s]\nargv = ["/bin/true"]\npools = { one = 1 }',
        extra="[pools]\none = 1",
    )
    set_pools(rig.store, rig.settings.pools)
    rig.push("k", "l")
    new = NewWorker(
        host="h", name="other", pid=1, slots=1, cpus=1, memory_bytes=1 << 30,
        scratch="/scratch", boot_id="boot", lease_s=60,
    )  # fmt: skip
    other = workers.enlist(rig.store, new)
    (held,) = claim.claim(rig.store, other, limit=1, cpus_free=1).tasks
    looks = []

    def look(store):
        looks.append(found := anything_left(store))
        if len(looks) == 3:
            finish.give_back(store, [held])
        return found if len(looks) > 3 else WorkLeft(ready=True, running=False, waiting=False)

    anything_left = claim.anything_left
    monkeypatch.setattr(claim, "anything_left", look)
    monkeypatch.setattr(worker, "LOOK_S", 0.01)
    assert rig.work().done == 2
    assert len(looks) >= 3


def test_a_slot_of_a_pool_is_free_as_soon_as_a_long_attempt_has_ended(rig, monkeypatch):
    """Not once its result has waited for others: here, for those that wait for the slot."""
    monkeypatch.setattr(reports, "DELAY_S", 60.0)
    monkeypatch.setattr(reports, "DELAY_MOST_S", 60.0)
    rig.write(
        """
        [pipelines.p.steps.pooled]
        run = "sleep 0.25; touch {project}/{key}"
        pools = { one = 1 }
        [pipelines.p.steps.other]
        run = "while ! [ -e {project}/k -a -e {project}/l ]; do sleep 0.05; done"
        timeout = "20s"
        """,
        extra="[pools]\none = 1",
    )
    set_pools(rig.store, rig.settings.pools)
    rig.push("k", "l")
    assert rig.work(slots=4).done == 4


def test_the_store_shows_pid_and_command_of_a_long_attempt(rig):
    rig.write(f"[pipelines.p.steps.s]\nrun = 'until test -e {rig.folder}/go; do sleep 0.1; done'")
    rig.push("k")
    noted = []

    def look(_event):
        (seen,) = rig.all_attempts() or [None]
        if seen is not None and seen.row.pid is not None:
            noted.append(seen.row.command)
            (rig.folder / "go").touch()

    rig.worker(on_event=look).work()
    assert noted
    assert "bash" in noted[0]
    assert wait_until(lambda: rig.task_states() == {"k/s": "done"}, "done")


def test_a_mix_of_long_and_short_steps_hands_nothing_back(rig):
    rig.run(
        "[pipelines.p.steps.short]\nargv = ['true']\n"
        "[pipelines.p.steps.long]\nafter = ['short']\nargv = ['sleep', '0.15']\n"
        "[pipelines.p.steps.last]\nafter = ['long']\nargv = ['true']",
        *(f"k{n:02}" for n in range(20)),
    )
    seen = rig.all_attempts()
    assert {attempt.state for attempt in seen} == {"succeeded"}
    assert len(seen) == 60


def test_a_disk_without_room_for_what_a_function_is_told_costs_no_worker_and_no_retry(
    rig, monkeypatch
):
    send, refused = PythonProcess.send, []

    def send_late(warm, message, running):
        if not refused:
            refused.append(running)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{running.seat.folder}/call")
        return send(warm, message, running)

    monkeypatch.setattr(PythonProcess, "send", send_late)
    monkeypatch.setattr(room, "LOOK_S", 0.05)
    (rig.folder / "mod.py").write_text("def small(task):\n    pass\n")
    rig.run("[pipelines.p.steps.s]\npython = 'mod:small'\nbackoff = '0.05s'")
    assert [(one.state, one.task) for one in rig.all_attempts()] == [
        ("failed", "done"),
        ("succeeded", "done"),
    ]


@pytest.fixture
def unread(rig, monkeypatch):
    """Call something when the first task lies before a warm process that has not read it yet."""
    (rig.folder / "mod.py").write_text("def small(task):\n    pass\n")
    rig.write("[pipelines.p.steps.s]\npython = 'mod:small'")
    start, seen = Warmers.start, []

    def during(then):
        def start_and(warmers, running):
            start(warmers, running)
            seen.append(warmers._executor)
            if len(seen) == 1:
                then(warmers)

        monkeypatch.setattr(Warmers, "start", start_and)
        return seen

    return during


def test_a_task_that_is_taken_back_unread_gives_its_cpus_back(rig, unread):
    seen = unread(lambda warmers: warmers.withdraw_all())
    rig.push("a", "b")
    rig.work(slots=1)
    assert set(rig.task_states().values()) == {"done"}
    assert len(seen) > 2  # it was started again
    assert (seen[0].cpus_used, seen[0].running) == (0, {})


def test_a_task_that_lies_unread_does_not_keep_a_worker_from_stopping(rig, unread):
    rig.push("a")
    worker = rig.worker(slots=1)
    unread(lambda _warmers: worker.stop())
    assert worker.work().was_interrupted
    assert set(rig.task_states().values()) <= {"ready", "done"}
    assert rig.leftovers() == []


def test_a_process_that_is_killed_before_it_reads_its_next_task_costs_that_nothing(rig, unread):
    def kill(warmers):
        (warm,) = warmers._busy.values()
        warm.has_answered = True  # as one that has served before
        os.kill(warm.pid, signal.SIGKILL)

    seen = unread(kill)
    rig.push("a", "b")
    rig.work(slots=1)
    assert {one.state for one in rig.all_attempts()} == {"succeeded"}
    assert (seen[0].cpus_used, seen[0].running) == (0, {})


BALLAST = "b = b'x' * 400_000_000"


def test_peak_memory_is_the_commands_own_and_not_the_workers(rig):
    rig.write(
        "[pipelines.p.steps.small]\nargv = ['true']\n"
        "[pipelines.p.steps.slow]\nargv = ['sleep', '0.9']\n"
        f'[pipelines.p.steps.large]\nargv = ["python3", "-c", "{BALLAST}"]',
    )
    rig.push("k")
    rig.work_apart()
    peaks = {one.step: one.row.max_rss_bytes for one in rig.all_attempts()}
    assert peaks["small"] < 50_000_000, "where it is not known it is not said"
    assert 0 < peaks["slow"] < 50_000_000
    assert peaks["large"] > 400_000_000


def test_peak_memory_of_a_function_is_that_of_its_call(rig):
    (rig.folder / "mod.py").write_text(
        f"def small(task):\n    pass\ndef large(task):\n    {BALLAST}\n"
    )
    rig.run(
        "[pipelines.p.steps.before]\npython = 'mod:small'\n"
        "[pipelines.p.steps.large]\nafter = ['before']\npython = 'mod:large'\n"
        "[pipelines.p.steps.behind]\nafter = ['large']\npython = 'mod:small'"
    )
    peaks = {one.step: one.row.max_rss_bytes for one in rig.all_attempts()}
    assert 0 < peaks["before"] < 40_000_000
    assert peaks["large"] > 400_000_000
    assert 0 < peaks["behind"] < 40_000_000
