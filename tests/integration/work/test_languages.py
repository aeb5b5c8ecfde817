"""Functions of other languages and persistent programs: many tasks in one process, each by itself."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from integration.work import languages
from integration.work.rig import ME, wait_until, worker_command
from stoker.model.selection import Selection
from stoker.store.orders import verbs
from stoker.work import warmers

ALL = tuple(languages.ACTIONS)
FUNCTIONS = ("octave", "r")  # `matlab` is the helper of `octave`, started otherwise


@pytest.fixture
def serve(rig, monkeypatch):
    """Have tasks served one after the other, in one slot; return their last attempts by key."""

    def run(language, *keys, more="", **options):
        rig.write(languages.write(rig.folder, language, monkeypatch) + more)
        rig.push(*keys, params=languages.PARAMS)
        rig.work(slots=1, **options)
        return rig.attempts()

    return run


@pytest.mark.parametrize("language", ALL)
def test_one_process_serves_many_tasks(rig, serve, language):
    seen = serve(language, "a", "b é\"'$(x)", "c")
    assert {key: (one.state, one.reason) for key, one in seen.items()} == dict.fromkeys(
        seen, ("succeeded", "")
    )
    values = [rig.values(one) for one in seen.values()]
    assert sorted(one["n"] for one in values) == [1, 2, 3]
    assert len({one["pid"] for one in values}) == 1
    for key, one in seen.items():
        found = rig.values(one)
        assert one.stdout.decode() == f"said {key}\n"
        assert (found["key"], found["list"]) == (key, ["a", "b c"])
        assert (found["nan"], found["text"]) == (None, 'a"\\b\né')
        assert found["seen"]["here"].startswith(str(rig.folder / ".stoker" / "scratch"))
        assert found["seen"]["prepared"] == "yes"
        assert (rig.folder / "out" / key).read_text() == f"{key} 2.5"
        assert one.row.pid == found["pid"]
        assert one.row.max_rss_bytes > 1_000_000


@pytest.mark.parametrize("language", FUNCTIONS)
def test_what_a_task_leaves_in_its_process_is_put_right(rig, serve, language):
    keys = ("a", "folder", "environment", "path", "files", "figures", "last")
    seen = serve(language, *keys)
    assert {key: one.reason for key, one in seen.items()} == dict.fromkeys(keys, "")
    values = {key: rig.values(one) for key, one in seen.items()}
    assert len({one["pid"] for one in values.values()}) == 1, "the process goes on"
    for key, one in values.items():
        assert one["seen"].pop("key") == key
        assert one["seen"].pop("here").startswith(str(rig.folder / ".stoker" / "scratch"))
    assert {key: one["seen"] for key, one in values.items()} == dict.fromkeys(
        keys, values["a"]["seen"]
    )


@pytest.mark.parametrize("language", ["octave", "r", "persistent"])
def test_a_task_that_goes_wrong_costs_its_own_attempt_only(rig, serve, language):
    bad = ("fails", "exits", "slow", "dies", "reason", "marked", "wrong")
    good = ("a", "file", *(f"after {key}" for key in bad))
    keys = [one for key in bad for one in (key, f"after {key}")]
    more = 'timeout = "2s"\nexits = { 3 = "fail" }\n'
    seen = serve(language, "a", "file", *keys, more=more)
    assert {key: seen[key].task for key in good} == dict.fromkeys(good, "done")
    assert len(rig.all_attempts()) == len(seen)
    reasons = {key: (seen[key].state, seen[key].reason) for key in bad}
    dark = "lab_dark" if language == "r" else "lab:dark"
    assert reasons["fails"] == ("failed", f"{dark}: no light in granule 17")
    assert b"words before" in seen["fails"].stderr
    assert (seen["exits"].state, seen["exits"].row.exit_code) == ("failed", 3)
    assert reasons["slow"][0] == "timed_out"
    assert reasons["dies"][1].startswith("killed by signal SIGKILL")
    assert reasons["reason"] == ("failed", "too dark")
    assert reasons["marked"] == ("failed", "error marker in the output: ERROR: bad granule")
    assert reasons["wrong"][0] == "failed"
    assert rig.values(seen["file"]) == {"said": 5}
    assert {key: one.stdout.decode().splitlines()[0] for key, one in seen.items()} == {
        key: f"said {key}" for key in seen
    }


@pytest.mark.parametrize("language", ["octave", "r", "persistent"])
def test_a_process_in_which_a_task_has_left_processes_is_replaced(rig, serve, language):
    leaving = ("child", "own child", "late")
    keys = (*leaving, "clean")  # which are not worked in this order
    seen = serve(language, *keys)
    assert {key: one.reason for key, one in seen.items()} == dict.fromkeys(keys, "")
    values = {key: rig.values(one) for key, one in seen.items()}
    served = Counter(one["pid"] for one in values.values())
    assert len(served) >= len(leaving)
    for key in leaving:
        assert values[key]["n"] == served[values[key]["pid"]], f"`{key}` was its process's last"


@pytest.mark.parametrize("language", ["octave", "persistent"])
def test_a_task_that_takes_too_much_memory_ends_with_its_process(rig, serve, language):
    seen = serve(language, "a", "big", "last", more='memory = "400M"\n')
    assert {key: one.state for key, one in seen.items()} == {
        "a": "succeeded",
        "big": "out_of_memory",
        "last": "succeeded",
    }


@pytest.mark.parametrize("language", ["octave", "r", "persistent"])
def test_a_cancelled_task_ends_with_its_process(rig, language, monkeypatch):
    rig.write(languages.write(rig.folder, language, monkeypatch))
    rig.push("slow", "next", params=languages.PARAMS)
    asked = []

    def cancel(_event):
        if rig.task_states().get("slow/s") == "running" and not asked:
            asked.append(True)
            verbs.cancel(rig.store, Selection(keys=("slow",)), ME)

    rig.worker(slots=1, on_event=cancel).work()
    assert asked
    assert rig.task_states() == {"slow/s": "cancelled", "next/s": "done"}
    assert rig.leftovers() == []


@pytest.mark.parametrize("language", ["octave", "persistent"])
def test_what_a_killed_worker_left_is_cleared_by_the_next(rig, language, monkeypatch):
    rig.write(languages.write(rig.folder, language, monkeypatch) + 'timeout = "2s"\n')
    rig.push("slow", params=languages.PARAMS)
    worker = subprocess.Popen(worker_command(rig), stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: list(rig.folder.glob(".stoker/scratch/*/warm-1/tasks")), "it runs")
        wait_until(lambda: len(list(rig.marked())) == 1, "the process runs")
    finally:
        worker.kill()
        worker.wait()
    rig.push("next", params=languages.PARAMS)
    rig.work()
    states = {one.key: one.state for one in rig.all_attempts()}
    assert states == {"slow": "timed_out", "next": "succeeded"}


def test_code_that_was_changed_is_taken_up(rig, monkeypatch):
    monkeypatch.setattr(warmers, "_LOOK_S", 0.0)
    (rig.folder / "private").mkdir()
    for name, text in {
        "f.m": "function v = f(task), v = struct('n', g(), 'pid', getpid());\n"
        "file = fopen([getenv('HERE') '/private/g.m'], 'w');\n"
        "fprintf(file, 'function n = g(), n = \"%s\"; end', task.key); fclose(file); end",
        "private/g.m": "function n = g(), n = 'first'; end",
        "f.R": 'source("g.R"); f <- function(task) {\n'
        'cat(sprintf("g <- function() %s", sQuote(task$key, FALSE)), file = file.path(Sys.getenv("HERE"), "g.R"))\n'
        "list(n = g(), pid = Sys.getpid()) }",
        "g.R": "g <- function() 'first'",
        "f.py": "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    n = 'first'\n"
        "    key = json.loads(line)['key']\n"
        "    text = open('f.py').read()\n"
        "    open('f.py', 'w').write(text.replace(f'n = {n!r}', f'n = {key!r}', 1))\n"
        "    answer = {'stoker': 'done', 'values': {'n': n, 'pid': os.getpid()}}\n"
        "    print(json.dumps(answer), flush=True)\n",
    }.items():
        (rig.folder / name).write_text(text)
    monkeypatch.setenv("HERE", str(rig.folder))
    for action in (
        'octave = "f"',
        'r = "f.R:f"',
        f'argv = ["{sys.executable}", "f.py"]\npersistent = true',
    ):
        rig.write(f"[pipelines.p.steps.s]\n{action}\n")
        keys = [f"{action[0]}{number}" for number in range(3)]
        rig.push(*keys)
        rig.work(slots=1)
        values = [rig.values(one) for one in rig.all_attempts() if one.key in keys]
        assert len({one["pid"] for one in values}) == 3, action
        assert len({one["n"] for one in values}) == 3, action
        assert sum(one["n"] == "first" for one in values) == 1, action


def test_a_process_keeps_the_devices_that_it_began_with(rig):
    (rig.folder / "f.py").write_text(
        "import json, os, sys\n"
        "own = os.environ['CUDA_VISIBLE_DEVICES']\n"
        "for line in sys.stdin:\n"
        "    values = {'own': own, 'given': json.loads(line)['env']['CUDA_VISIBLE_DEVICES'], 'pid': os.getpid()}\n"
        "    print(json.dumps({'stoker': 'done', 'values': values}), flush=True)\n"
    )
    rig.write(
        f'[pipelines.p.steps.s]\nargv = ["{sys.executable}", "f.py"]\npersistent = true\n'
        "pools = { gpu = 1 }\n",
        extra='[pools]\ngpu = { slots = ["4", "7"], kind = "gpu" }\n',
    )
    rig.push(*(f"k{number}" for number in range(12)))
    rig.work(slots=2)
    values = [rig.values(one) for one in rig.all_attempts()]
    assert [one for one in values if one["own"] != one["given"]] == []
    assert {one["own"] for one in values} == {"4", "7"}
    assert len({one["pid"] for one in values}) == 2


@pytest.mark.parametrize("action", ['octave = "f"', 'r = "f.R:f"', 'python = "f:f"'])
def test_what_tasks_keep_in_memory_costs_no_other_task(rig, action):
    (rig.folder / "f.m").write_text(
        "function v = f(task), persistent kept; kept{end + 1} = ones(1, 6e6); v = struct('pid', getpid()); end"
    )
    (rig.folder / "f.R").write_text(
        "kept <- list()\nf <- function(task) { kept[[task$key]] <<- rep(1, 6e6); list(pid = Sys.getpid()) }"
    )
    (rig.folder / "f.py").write_text(
        "import os\nkept = []\n"
        "def f(task):\n    kept.append(b'x' * 48_000_000)\n    return {'pid': os.getpid()}\n"
    )
    rig.write(f'[pipelines.p.steps.s]\n{action}\nmemory = "500M"\n')
    rig.push(*(f"k{number:02}" for number in range(20)))
    rig.work(slots=1)
    assert {one.state for one in rig.all_attempts()} == {"succeeded"}
    assert 2 < len({rig.values(one)["pid"] for one in rig.all_attempts()}) < 15


@pytest.mark.parametrize("action", ['octave = "f"', 'r = "f.R:f"'])
def test_names_and_words_of_any_bytes_come_and_go(rig, action, monkeypatch):
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.delenv(name, raising=False)
    (rig.folder / "f.m").write_bytes(
        b"function v = f(task)\n  file = fopen(task.item); text = fgetl(file); fclose(file);\n"
        b"  if strcmp(task.key, 'bad'), error(char([98 255 97])); end\n"
        b"  v = struct('text', text, 'key', task.key);\nend\n"
    )
    (rig.folder / "f.R").write_bytes(
        b"f <- function(task) {\n  text <- readLines(task$item)\n"
        b"  if (task$key == 'bad') stop(rawToChar(as.raw(c(98, 255, 97))))\n"
        b"  list(text = text, key = task$key)\n}\n"
    )
    rig.write(f"[pipelines.p.steps.s]\n{action}\n", items="files")
    for number, name in enumerate(
        (b"plain", b'caf\xc3\xa9 "x" \\y', b'latin-\xe9 "x"', b"line\nend", b"bad")
    ):
        path = os.path.join(os.fsencode(rig.folder), name)
        with open(path, "w") as file:
            file.write("inside\n")
        rig.push_file(os.fsdecode(path), "bad" if name == b"bad" else f"k\u00e9{number}")
    rig.work(slots=1)
    seen = rig.attempts()
    assert seen.pop("bad").reason == ("b\ufffda" if "octave" in action else seen_by_r())
    assert {key: (one.reason, rig.values(one)) for key, one in seen.items()} == {
        key: ("", {"text": "inside", "key": key}) for key in seen
    }


def seen_by_r():
    """What R makes of words that are no UTF-8."""
    return "b<ff>a"
