"""From an empty folder through run, failure and repair, by the commands that a person types."""

import json
import os
import re
import signal
import subprocess
import time
from datetime import datetime

import pytest

from integration.cli.conftest import STOKER

TASK_FIELDS = [
    "pipeline",
    "item",
    "step",
    "state",
    "attempts",
    "expected_s",
    "priority",
    "not_before",
    "reason",
    "cut_off",
]
ATTEMPT_FIELDS = [
    "id",
    "kind",
    "pipeline",
    "item",
    "step",
    "number",
    "state",
    "site",
    "worker",
    "host",
    "node",
    "pid",
    "batch_id",
    "pilot",
    "command",
    "claimed_at",
    "started_at",
    "publishing_at",
    "ended_at",
    "exit_code",
    "signal",
    "user_s",
    "system_s",
    "max_rss_bytes",
    "stdout",
    "stderr",
    "outputs",
    "values",
    "reason",
    "cause",
    "pipeline_version",
]
RUN_FIELDS = [
    "items",
    "tasks",
    "done",
    "failed",
    "skipped",
    "cancelled",
    "held",
    "blocked",
    "ready",
    "quarantined",
    "elapsed_s",
]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_a_newcomer_gets_from_nothing_to_results(lab):
    (lab.folder / "stoker.toml").unlink()
    lab("init")
    starter = lab.folder / "stoker.toml"
    starter.write_text(starter.read_text().replace("glob = ", 'settle = "0s"\nglob = ', 1))
    lab("check")
    assert "stays as it is" in lab("init", code=4).err
    lab.write("data/x.txt")
    lab("push", "first", "data")
    assert "1 item, 2 tasks: 2 done" in lab("run").out
    assert lab("run").out.startswith("nothing to do: 1 item, all done")


def test_run_ends_with_the_contracts_line_and_1_where_tasks_failed(pushed):
    ended = pushed("run", "--json", code=1)
    summary = json.loads(ended.out.splitlines()[-1])
    assert list(summary)[: len(RUN_FIELDS)] == RUN_FIELDS
    counts = {"items": 3, "tasks": 6, "done": 4, "failed": 1, "blocked": 1, "held": 0}
    assert summary.items() >= counts.items()
    assert "the file was damaged" in ended.err
    assert pushed("run", code=1).out.startswith("nothing to do: 3 items")


def test_run_pushes_what_is_named(lab):
    lab.write("data/a.txt")
    lab("run", "count", "data")
    assert (lab.folder / "results/a.txt.said").read_text() == "gain 1.0: 2\n"
    assert lab("run", "count", "nosuch", code=2).err.startswith("registered 0 items, 1 refused")


def test_run_without_items_says_how_to_get_some(lab):
    assert "stoker push" in lab("run").out


def test_status_counts_every_state(run):
    found = run("status", "--json").json
    assert list(found)[:3] == ["pipelines", "pools", "workers"]
    count = found["pipelines"]["count"]
    assert list(count)[:5] == ["items", "tasks", "steps", "outdated", "eta_s"]
    assert count["items"].items() >= {"done": 2, "failed": 1, "waiting": 0}.items()
    assert count["tasks"].items() >= {"done": 4, "failed": 1, "blocked": 1}.items()
    assert count["steps"]["lines"].items() >= {"done": 2, "failed": 1, "ready": 0}.items()
    assert found["pools"]["ram"].items() >= {"slots": 2, "used": 0}.items()
    assert found["workers"] == []
    assert "3 items (2 done, 1 failed)" in run("status").out
    assert run("status", "nosuch", code=3).out == ""


def test_lists_have_the_contracts_fields(run):
    tasks = run("tasks", "--json").rows
    assert [list(row) for row in tasks] == [TASK_FIELDS] * 6
    assert [row["item"] for row in run("tasks", "--state", "failed", "--json").rows] == ["c.txt"]
    attempts = run("attempts", "--json", "--state", "succeeded,failed").rows
    assert [list(row) for row in attempts] == [ATTEMPT_FIELDS] * 5
    assert [row["id"] for row in attempts] == sorted(row["id"] for row in attempts)
    one = next(row for row in attempts if row["item"] == "a.txt" and row["step"] == "lines")
    assert TIME.fullmatch(one["started_at"])
    assert datetime.fromisoformat(one["ended_at"]).tzinfo is not None
    assert list(one["stdout"]) == ["size_bytes", "truncated", "path"]
    assert one["outputs"][0]["path"] == str(run.folder / "results/a.txt.lines")
    assert list(one["outputs"][0]) == ["name", "path", "size_bytes", "checksum"]
    failed = next(row for row in attempts if row["state"] == "failed")
    assert failed["exit_code"] == 3
    assert "ValueError" in failed["reason"]


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        (["a.txt"], ["a.txt"]),
        (["[ab].txt"], ["a.txt", "b.txt"]),
        (["--from-key", "b", "--to-key", "c"], ["b.txt", "c.txt"]),
        (["--match", "DAMAGED"], ["c.txt"]),
        (["--where", 'key == "b.txt" && params.gain > 0.5'], ["b.txt"]),
        (["--state", "failed"], ["c.txt"]),
        (["--by", "nobody-of-this-name"], []),
        (["--pipeline", "count", "--step", "text", "--state", "done"], ["a.txt", "b.txt"]),
    ],
    ids=["key", "glob", "range", "match", "where", "state", "by", "step"],
)
def test_selection_means_the_same_everywhere(run, options, keys):
    assert sorted({row["item"] for row in run("tasks", "--json", *options).rows}) == keys
    dry = run("rerun", "--dry-run", "--json", *options).json
    assert (sum(dry["changed"].values()) + sum(dry["left"].values()) > 0) == bool(keys)


def test_a_selection_that_cannot_be_meant_is_a_mistake(run):
    assert "the states are blocked" in run("tasks", "--state", "broken", code=2).err
    assert "the states are quarantined" in run("items", "--state", "broken", code=2).err
    assert "`--to-key` is empty" in run("cancel", "--to-key", "", code=2).err
    assert "is not a condition" in run("tasks", "--where", "1 +", code=2).err
    assert "did you mean `lines`?" in run("tasks", "--step", "line", code=3).err
    nothing = run("retry", "nosuch")
    assert (nothing.out, nothing.code) == ("", 0)
    assert "nothing to change" in nothing.err


def test_failures_are_grouped_with_what_to_do(run):
    rows = run("failures", "--json").rows
    assert len(rows) == 1
    assert rows[0]["n"] == 1
    assert (rows[0]["say"], rows[0]["do"]) == ("the file was damaged", "copy it again")
    assert rows[0]["examples"] == ["c.txt"]
    assert "copy it again" in run("failures").out


def test_a_repaired_failure_is_retried_and_the_story_tells_it(run):
    run.write("data/c.txt")
    os.utime(run.folder / "data/c.txt", (1, 1))
    retried = run("retry", "--match", "damaged", "--reason", "copied again")
    assert retried.out == "1 task ready again\n"
    run("run")
    story = run("show", "c.txt").out
    assert (
        story.index("registered by") < story.index("lines #1 failed") < story.index("copied again")
    )
    assert story.index("copied again") < story.index("lines #2 succeeded")
    assert run("failures").out == ""


def test_show_as_command_does_the_attempt_by_hand(run):
    script = run("show", "a.txt", "lines", "--as-command").out
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout == "counted a.txt\n"


def test_a_line_break_in_a_path_is_no_command_by_hand(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p]
        items = "records"
        [pipelines.p.params]
        to = { type = "string" }
        [pipelines.p.steps.s]
        run = "echo x > {out.o}"
        outputs.o = "results/{params.to}"
        """,
    )
    lab("push", "p", "k", "--set", "to=a\ntouch pwned\n")
    lab("run")
    script = lab("show", "k", "--as-command").out
    done = subprocess.run(
        ["bash"], input=f"{script}\nls", capture_output=True, text=True, check=True
    )
    assert done.stdout == "out\n"


def test_by_hand_a_step_gets_the_values_of_those_before_it(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p]
        items = "records"
        [pipelines.p.steps.count]
        run = 'echo "{\\"n\\": 7}" > "$STOKER_VALUES"'
        [pipelines.p.steps.tell]
        run = 'echo "there are {in.count.values.n}"'
        """,
    )
    lab("run", "p", "k")
    script = lab("show", "k", "tell", "--as-command").out
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout == "there are 7\n"
    assert lab("shell", "k", "tell", "--command", 'bash "$STOKER_COMMAND"').out == done.stdout


def test_by_hand_a_function_gets_what_a_warm_process_gives_it(lab):
    lab.write(
        "m.py",
        """
import os
def shapes(found):
    if isinstance(found, dict):
        return {name: shapes(one) for name, one in found.items()}
    if isinstance(found, list) or type(found).__name__ == "Members":
        return [shapes(one) for one in found]
    return type(found).__name__
def one(task):
    for name in "ab":
        (task.scratch / f"{name}.log").touch()
    task.outputs["o"].touch()
def two(task):
    print(sorted((name, shapes(found)) for name, found in vars(task).items()))
""",
    )
    lab.write(
        "stoker.toml",
        """
        [pipelines.p.steps.one]
        python = "m:one"
        outputs.o = "o/{key}"
        outputs.logs = { from = "*.log", to = "logs/" }
        [pipelines.p.steps.two]
        python = "m:two"
        after = ["one"]
        outputs.x = { to = "x/{key}", optional = true }
        """,
    )
    lab.write("it's.txt")
    lab("run", "p", "it's.txt")
    given = lab("logs", "it's.txt", "two").out
    assert "'item', 'PosixPath'" in given
    assert "'logs': ['PosixPath', 'PosixPath']" in given
    by_hand = lab("shell", "it's.txt", "two", "--command", 'bash "$STOKER_COMMAND"').out
    assert by_hand == given + "None\n"


def test_by_hand_what_cannot_be_there_is_said(run):
    told = run("shell", "c.txt", "text", "--command", "true").err
    assert "step lines before it is failed" in told
    assert "before it" not in run("shell", "a.txt", "text", "--command", "true").err
    assert "no attempt `7f`" in run("show", "a.txt", "--as-command", "--attempt", "7f", code=3).err
    assert "goes with `--as-command`" in run("show", "a.txt", "--attempt", "7f", code=2).err


def test_logs_print_what_was_written(run):
    assert run("logs", "a.txt", "lines").out == "counted a.txt\n"
    failed = run("logs", "c.txt", "--stderr")
    assert failed.out == "ValueError: line 7 is broken\n"
    assert run("logs", "c.txt", "--attempt", "9", code=3).out == ""


def test_logs_that_nobody_reads_to_the_end_are_no_error(lab):
    file = lab.folder / "stoker.toml"
    file.write_text('[pipelines.p]\nitems = "records"\n[pipelines.p.steps.a]\nrun = "seq 100000"\n')
    lab("push", "p", "k")
    lab("run", "p")
    line = f"set -o pipefail; {STOKER} logs k | head -1"
    done = subprocess.run(
        ["bash", "-c", line], cwd=lab.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout == "1\n"
    assert "cannot be read" not in done.stderr


def test_why_names_the_one_reason(pushed):
    assert pushed("why", "a.txt", "--json").json["kind"] == "no_worker"
    assert "step `lines` before it is ready" in pushed("why", "a.txt", "text").out
    pushed("hold", "a.txt", "--reason", "not yet")
    found = pushed("why", "a.txt", "lines", "--json").json
    assert found["kind"] == "held"
    assert "not yet" in found["text"]
    pushed("release", "a.txt")
    pushed("run", code=1)
    assert "failed" in pushed("why", "c.txt", "text").out
    assert pushed("why", "data/a.txt", "--json").json["kind"] == "done"
    assert "did you mean `lines`?" in pushed("why", "a.txt", "line", code=3).err


def test_rerun_redoes_what_follows(run):
    done = run("rerun", "a.txt", "--step", "lines", "--json").json
    assert done["changed"] == {"rerun": 1, "block": 1}
    run("run", code=1)
    assert len(run("attempts", "a.txt", "--state", "succeeded", "--json").rows) == 4


def test_cancel_and_back(pushed):
    assert pushed("cancel", "b.txt", "--dry-run").out.startswith("2 tasks would be cancelled")
    pushed("cancel", "b.txt")
    pushed("run", code=1)
    assert not (pushed.folder / "results/b.txt.said").exists()
    pushed("rerun", "b.txt")
    pushed("run", code=1)
    assert (pushed.folder / "results/b.txt.said").exists()


@pytest.mark.parametrize("verb", ["cancel", "rerun", "hold"])
def test_the_whole_store_is_not_changed_by_a_slip(run, verb):
    refused = run(verb, code=6)
    assert "all 6 tasks" in refused.err
    assert run(verb, "--yes", "--dry-run").code == 0


def test_which_names_the_maker(run):
    found = run("which", "results/a.txt.said", "--json").json
    assert (found["item"], found["step"]) == ("a.txt", "text")
    assert run("which", "stoker.toml", code=3).out == ""


def test_shell_has_the_exact_environment_and_records_nothing(run):
    before = run("attempts", "--json").out
    line = 'pwd; echo "$STOKER_KEY $STOKER_PARAM_GAIN"; bash "$STOKER_COMMAND"; cat out/text/*'
    folder, words, said = run("shell", "a.txt", "text", "--command", line).out.splitlines()
    assert words == "a.txt 1.0"
    assert said == "gain 1.0: 2"
    assert not os.path.exists(folder)
    assert run("shell", "a.txt", "text", "--command", "exit 7", code=7).out == ""
    assert run("attempts", "--json").out == before


def test_a_running_attempt_is_followed_and_interrupted_in_order(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.slow]
        [pipelines.slow.steps.wait]
        run = "for i in 1 2 3; do echo line $i; sleep 0.3; done; sleep $(cat {item})"
        """,
    )
    lab.write("data/a.txt", "60")
    lab("push", "slow", "data/a.txt")
    with subprocess.Popen(
        [STOKER, "run"], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        follow = (
            subprocess.Popen(
                [STOKER, "logs", "-f", "data/a.txt"],
                cwd=lab.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if wait_for(lab, "running")
            else None
        )
        assert follow is not None
        assert [follow.stdout.readline() for _ in range(3)] == [
            b"line 1\n",
            b"line 2\n",
            b"line 3\n",
        ]
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        said = running.stderr.read()
        assert b"a second Ctrl-C ends it at once" in said
        assert b"goes on from here" in said
        assert b"1 item, 1 task: 1 ready; " in running.stdout.read()
        follow.wait(30)
        follow.stdout.close()
    assert lab("tasks", "--json").rows[0]["state"] == "ready"
    assert lab("workers", "--json").rows == []


def wait_for(lab, state):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        rows = lab("attempts", "--state", state, "--json").rows
        if rows and rows[0]["pid"]:
            return True
        time.sleep(0.2)
    return False


def test_logs_as_json_hold_both_streams_with_their_text(run):
    kept = run("logs", "a.txt", "lines", "--json").json
    assert (kept["item"], kept["step"], kept["state"]) == ("a.txt", "lines", "succeeded")
    assert kept["stdout"]["text"] == "counted a.txt\n"
    assert kept["stderr"] == {"size_bytes": 0, "truncated": False, "path": None, "text": ""}
    failed = run("logs", "c.txt", "--stderr", "--json").json
    assert failed["stderr"]["text"] == "ValueError: line 7 is broken\n"
    assert failed["stdout"] is None
    assert "leave `--json` out" in run("logs", "c.txt", "-f", "--json", code=2).err


def test_a_key_that_no_item_has_is_said(run):
    told = run("retry", "c.txt", "d.txt", "--dry-run")
    assert "1 task would be ready again" in told.out
    assert "there is no item `d.txt`" in told.err
    assert "did you mean `c.txt`?" in run("hold", "c.tx").err
    assert "`data/c.txt` is the path of item `c.txt`" in run("tasks", "data/c.txt").err
    assert "no item" not in run("tasks", "c.txt", "*.dat").err


def test_status_of_one_pipeline_is_asked_for_like_anything_else(run):
    found = run("status", "--pipeline", "count", "--json").json
    assert found == run("status", "count", "--json").json
    assert "no pipeline `cuont`" in run("status", "--pipeline", "cuont", code=3).err
    assert "name one pipeline" in run("status", "count", "--pipeline", "other", code=2).err


def test_what_could_not_run_here_is_told_with_what_it_lacks(lab):
    text = (lab.folder / "stoker.toml").read_text()
    step = "[pipelines.count.steps.lines]\n"
    assert step in text
    (lab.folder / "stoker.toml").write_text(text.replace(step, step + "cpus = 640\n"))
    lab.write("data/a.txt")
    ended = lab("run", "--slots", "1", code=1)
    assert "1 task is left that could not run here" in ended.err
    assert "a.txt, step lines: no worker is alive" in ended.err
    assert "it needs 640 cpus" in ended.err
    assert "1 ready" in ended.out
    assert lab("run", "--json", code=1).json["ready"] == 1
    assert "could not run here" in lab("work", "--drain").err
    why = lab("why", "a.txt", "--json").json
    assert (why["kind"], why["do"]) == (
        "no_worker_fits",
        "start a worker on a bigger host, or lower `cpus`",
    )
    (lab.folder / "stoker.toml").write_text(text)
    assert "could not run" not in lab("run").err


def test_a_pool_that_is_too_small_is_told_before_a_worker_comes(lab):
    text = (lab.folder / "stoker.toml").read_text()
    step = "[pipelines.count.steps.lines]\n"
    (lab.folder / "stoker.toml").write_text(text.replace(step, step + "pools = { ram = 2 }\n"))
    lab.write("data/a.txt")
    lab("push", "count", "data")
    lab("pool", "set", "ram", "1")
    assert "it needs 2 of pool `ram`, which has 1" in lab("run", code=1).err


def test_a_run_with_items_in_quarantine_does_not_end_well(lab):
    text = (lab.folder / "stoker.toml").read_text()
    rule = "[pipelines.count.validate]\nmin_size = 1\n\n[pipelines.count.params]"
    (lab.folder / "stoker.toml").write_text(text.replace("[pipelines.count.params]", rule))
    lab.write("data/a.txt", "")
    for _ in range(2):
        ended = lab("run", "--json", code=1)
        assert (ended.json["quarantined"], ended.json["failed"]) == (1, 0)
        assert "1 in quarantine: it is empty" in ended.err
    nothing = lab("run", code=1)
    assert nothing.out.startswith("nothing to do: 1 item, 1 in quarantine")
    assert "`stoker retry --state quarantined` takes it" in nothing.err
    assert "quarantine" in lab("failures").out + lab("failures").err
    lab.write("data/a.txt")
    assert lab("run", "--json").json["quarantined"] == 0
