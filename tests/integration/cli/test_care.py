"""Commands that take over, adopt, forget, check and serve; and how errors look."""

import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from integration.cli.conftest import STOKER


def age(folder, seconds=3600):
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_adopt_takes_whole_results_and_names_half_written_ones(run):
    age(run.folder)
    (run.folder / "results/b.txt.said").write_text("")
    os.utime(run.folder / "results/b.txt.said", (1, 1))
    for name in (".stoker/stoker.db", ".stoker/stoker.db-wal", ".stoker/stoker.db-shm"):
        (run.folder / name).unlink(missing_ok=True)
    run("push", "count", "data")
    dry = run("adopt", "count", "--dry-run")
    assert "lines: 2 tasks would be adopted" in dry.out
    done = run("adopt", "count", "--reason", "from before", "--json")
    assert done.json == {
        "adopted": {"lines": 2, "text": 1}, "bare": 0, "missing": 2, "refused": 1, "unknown": 0,
        "without": {}, "dry_run": False,
    }  # fmt: skip
    assert "b.txt.said` is empty" in done.err
    rows = run("attempts", "--json").rows
    assert {row["kind"] for row in rows} == {"adopted"}
    assert all(row["outputs"][0]["checksum"].startswith("xxh3:") for row in rows)
    assert run("which", "results/a.txt.said", "--json").json["kind"] == "adopted"
    assert run("status", "--json").json["pipelines"]["count"]["items"]["done"] == 1


def test_adopt_leaves_what_may_still_be_written(run):
    (run.folder / ".stoker/stoker.db").unlink()
    (run.folder / ".stoker/stoker.db-wal").unlink(missing_ok=True)
    run("push", "count", "data")
    done = run("adopt", "count", "--json")
    assert done.json["adopted"] == {}
    assert "may still be being written" in done.err


def test_prune_forgets_old_items_and_leaves_results(run):
    assert run("prune", "--older-than", "1d").out == ""
    assert "would forget 2 items, 4 tasks" in run("prune", "--older-than", "0s", "--dry-run").out
    forgotten = run("prune", "--older-than", "0s", "--json").json
    assert (forgotten["items"], forgotten["tasks"]) == (2, 4)
    assert [row["item"] for row in run("items", "--json").rows] == ["c.txt"]
    count = run("status", "--json").json["pipelines"]["count"]
    assert sum(count["items"].values()) == 1
    assert sum(count["tasks"].values()) == 2
    assert (run.folder / "results/a.txt.said").exists()
    assert run("push", "count", "data", "--json").json["registered"] == 2


def test_apply_shows_what_it_changes_first(run):
    file = run.folder / "stoker.toml"
    steps = '\n[pipelines.count.steps.more]\nargv = ["true"]\nafter = ["text"]\n'
    file.write_text(file.read_text().replace("echo gain", "echo GAIN") + steps)
    dry = run("apply", "--dry-run").err
    assert "new step `more`: 3 tasks" in dry
    assert "changed: `text`" in dry
    run("apply")
    assert "nothing changes" in run("apply").err
    file.write_text(file.read_text() + '[secrets]\nnames = ["TOKEN"]\n')
    assert "`[secrets]`: holds for all workers" in run("apply").err
    assert "nothing changes" in run("apply", "--dry-run").err
    assert run("status", "--json").json["pipelines"]["count"]["outdated"] == 2
    run("rerun", "--outdated")
    run("run", code=1)
    assert (run.folder / "results/a.txt.said").read_text() == "GAIN 1.0: 2\n"


def test_a_pipeline_and_a_step_are_renamed_and_nothing_runs_again(run):
    attempts = len(run("attempts", "--json").rows)
    file = run.folder / "stoker.toml"
    text = file.read_text().replace("pipelines.count", "pipelines.sums")
    text = text.replace("steps.lines", "steps.tally").replace("in.lines.", "in.tally.")
    text = text.replace("[pipelines.sums]", '[pipelines.sums]\nrenamed_from = "count"')
    text = text.replace("run = '''", "renamed_from = 'lines'\nrun = '''")
    file.write_text(text)
    dry = run("apply", "--dry-run").err
    assert "it was `count`; its items, tasks, history and outputs carry over" in dry
    assert "step `tally` was `lines`; its tasks, history and outputs carry over" in dry
    assert "it was `count`" in run("run", "--json", code=1).err
    assert len(run("attempts", "--json").rows) == attempts
    status = run("status", "--json").json["pipelines"]
    assert list(status) == ["sums"]
    assert status["sums"]["outdated"] == 0
    assert status["sums"]["steps"]["tally"]["done"] == 2
    assert "tally" in run("which", "results/a.txt.lines").out
    assert "results/a.txt.lines" in run("show", "a.txt", "--as-command").out
    assert "there is sums" in run("tasks", "--pipeline", "count", code=3).err
    run("store", "check", "--journal")


def test_a_step_under_another_name_alone_is_done_again_over_its_old_outputs(run):
    """Without `renamed_from`: what the step of the old name published is the new one's now."""
    file = run.folder / "stoker.toml"
    text = file.read_text().replace("steps.text", "steps.words")
    file.write_text(text.replace("echo gain", "echo GAIN"))
    run("run", code=1)
    assert (run.folder / "results/a.txt.said").read_text() == "GAIN 1.0: 2\n"
    assert "words" in run("which", "results/a.txt.said").out
    (run.folder / "results/b.txt.said").write_text("mine\n")
    file.write_text(file.read_text().replace("steps.words", "steps.said"))
    failed = run("run", "--json", code=1).json
    assert failed["failed"] == 2, "the damaged file, and what a person has changed"
    assert (run.folder / "results/b.txt.said").read_text() == "mine\n"
    (run.folder / "results/b.txt.said").unlink()
    run("retry", "b.txt")
    run("run", code=1)
    assert (run.folder / "results/b.txt.said").read_text() == "GAIN 1.0: 2\n"
    run("store", "check", "--journal")


def test_a_path_whose_file_is_gone_can_be_published_by_another_step(run):
    file = run.folder / "stoker.toml"
    more = '[pipelines.count.steps.more]\nrun = "cat {in.lines.lines} > {out.o}"\n'
    file.write_text(file.read_text() + more + 'outputs.o = "results/{key}.said"\n')
    assert "has the path of output `text`" in run("run", code=2).err
    text = file.read_text().replace(
        'outputs.text = "results/{key}.said"', 'outputs.text = "said/{key}"'
    )
    file.write_text(text)
    run("run", "--json", code=1)
    assert len(run("attempts", "--json", "--step", "more", "--state", "failed").rows) == 2
    for name in ("a", "b"):
        (run.folder / f"results/{name}.txt.said").unlink()
    run("retry", "--step", "more")
    run("run", code=1)
    assert (run.folder / "results/a.txt.said").read_text() == "2\n"
    assert "more" in run("which", "results/a.txt.said").out
    run("store", "check", "--journal")


def test_run_says_which_output_is_lacking(pushed):
    (pushed.folder / "data/c.txt").write_text("good\n")
    pushed("run")
    file = pushed.folder / "stoker.toml"
    file.write_text(file.read_text().replace(".lines}", ".counts}").replace("{out.lines}", "{out.counts}")
                    .replace("outputs.lines", "outputs.counts"))  # fmt: skip
    pushed("apply")
    pushed("rerun", "a.txt", "--step", "text")
    ended = pushed("run", code=1)
    assert "1 blocked" in ended.out
    assert "1 task is left that could not run here" in ended.err
    assert "was done by an older version, without its output `counts`" in ended.err
    pushed("rerun", "--outdated")
    assert "6 done" in pushed("run").out


def test_apply_foresees_which_outputs_could_not_be_published(run):
    file = run.folder / "stoker.toml"
    before = file.read_text()
    more = '[pipelines.count.steps.more]\nrun = "cat {in.lines.lines} > {out.o}"\n'
    said = before.replace('outputs.text = "results/{key}.said"', 'outputs.text = "said/{key}"')
    file.write_text(said + more + 'outputs.o = "results/{key}.said"\n')
    told = run("apply", "--dry-run").err
    assert (
        "warning: step `more` of `count` could not publish 2 outputs of the first 3 items" in told
    )
    path = run.folder / "results/a.txt.said"
    assert f"`{path}` was published by step `text` of `a.txt`" in told
    assert "`said" not in told
    file.write_text(before + more + 'outputs.o = "data/{key}"\n')
    assert (
        f"`{run.folder}/data/a.txt` exists and Stoker did not write it"
        in run("apply", "--dry-run").err
    )
    renamed = before.replace("steps.text", "steps.words").replace("echo gain", "echo GAIN")
    for text in (
        renamed,
        before.replace("echo gain", "echo GAIN"),
        before + more + 'outputs.o = "more/{key}"\n',
    ):
        file.write_text(text)
        assert "warning" not in run("apply", "--dry-run").err, text


def test_a_file_from_elsewhere_is_not_taken_over_by_itself(run, tmp_path):
    other = tmp_path / "copy"
    other.mkdir()
    text = (run.folder / "stoker.toml").read_text().replace("echo gain", "echo other")
    (other / "stoker.toml").write_text(
        f'[store]\nurl = "sqlite:///{run.folder}/.stoker/stoker.db"\n{text}'
    )
    refused = run("run", "--project", str(other), code=4)
    assert str(run.folder / "stoker.toml") in refused.err
    run("--project", str(other), "apply", "--yes")
    run("run", code=4)


def test_check_tells_every_problem_at_once(lab):
    lab.write(
        "stoker.toml",
        '[pipelines.p]\nitmes = "files"\n[pipelines.p.steps.s]\nrun = "cat {itm}"\nretries = -1\n',
    )
    ended = lab("check", code=2)
    assert len(ended.out.splitlines()) >= 3
    assert "did you mean `items`?" in ended.out
    assert "stoker.toml:2:" in ended.out
    assert len(lab("check", "--json", code=2).json["problems"]) == len(ended.out.splitlines())
    run = lab("run", code=2)
    assert "did you mean `items`?" in run.err


def test_check_warns_of_outputs_that_only_one_item_can_have(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p.steps.s]
        run = "cp {item} {out.one}; cp {item} {out.own}"
        outputs.one = "results/one"
        outputs.own = "results/{name}"
        outputs.logs = { from = "*.log", to = "logs/", optional = true }
        """,
    )
    (warning,) = lab("check", "--json").json["warnings"]
    assert "output `one` has one path for all items" in warning


def test_check_warns_of_values_that_may_become_code_or_options(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p.steps.s]
        run = '''
        x={key}
        eval "tool $x"
        rm -f {name}
        '''
        [pipelines.p.steps.t]
        argv = ["tool", "{key}"]
        """,
    )
    ended = lab("check")
    assert "no problems" in ended.err
    told = [line for line in ended.err.splitlines() if "as code" in line or "option" in line]
    assert len(told) == 3
    assert "step `s`: line 2 of `run`: `eval` runs `tool $x` as code" in told[0]
    assert "step `s`: line 3 of `run`: `{name}` may begin with `-`, which `rm`" in told[1]
    assert "step `t`: `{key}` may begin with `-`, which `tool`" in told[2]


def test_a_name_that_bash_would_run_fails_before_anything_starts(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p]
        items = "records"
        [pipelines.p.steps.s]
        run = 'count() { local n=$1; echo $((n + 1)); }; touch ran; count {key} > {out.o}'
        outputs.o = "results/{key}"
        retries = 3
        """,
    )
    assert "no problems" in lab("check").err
    bad = f"BASH_VERSINFO[$(touch {lab.folder}/pwned)]"
    lab("push", "p", bad, "7")
    ended = lab("run", code=1)
    (failed,) = [row for row in lab("attempts", "--json").rows if row["state"] == "failed"]
    assert failed["reason"].startswith(
        "`{key}` contains `$`, and `run` of step `s` has `((`, with which bash may run such a value"
    )
    assert "parameter of type `integer`" in failed["reason"]
    assert (failed["started_at"], failed["number"]) == (None, 1)
    assert not (lab.folder / "pwned").exists()
    assert "1 failed" in ended.out + ended.err
    by_hand = lab("shell", "--command", "true", "--pipeline", "p", "--", bad, "s", code=2)
    assert "`{key}` contains `$`" in by_hand.err


def test_prepare_gets_no_value_by_hand_either(lab):
    lab.write(
        "stoker.toml",
        """
        [pipelines.p]
        items = "records"
        [pipelines.p.params]
        n = { type = "string" }
        [pipelines.p.steps.s]
        prepare = 'export SEEN="<${STOKER_PARAM_N:-}>"; export STOKER_PARAM_N=other'
        argv = ["printenv", "SEEN", "STOKER_PARAM_N"]
        """,
    )
    lab("push", "p", "k", "--set", "n=$(id)")
    lab("run")
    assert lab("logs", "k").out.split() == ["<>", "$(id)"]
    assert lab("shell", "k", "s", "--command", 'bash "$STOKER_COMMAND"').out == "<>\n$(id)\n"
    script = lab("show", "k", "--as-command").out
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout == "<>\n$(id)\n"


def test_a_project_is_begun_where_its_store_can_lie(lab):
    good = lab.folder / 'it\'s "one" ü\n#?%41'
    lab("init", str(good))
    assert "no problems" in lab("check", cwd=good).err
    bad = os.fsdecode(os.fsencode(lab.folder) + b"/\xff")
    assert "rename the folder" in lab("init", bad, code=2).err
    os.mkdir(bad)
    (lab.folder / "stoker.toml").rename(f"{bad}/stoker.toml")
    assert "rename the folder" in lab("status", cwd=bad, code=2).err


def test_reading_goes_on_while_the_file_is_broken(run):
    run.write("stoker.toml", "[pipelines.count\n")
    assert run("status", "--json").json["pipelines"]["count"]["tasks"]["done"] == 4
    run("push", "count", "data", code=2)


def test_doctor_finds_a_broken_store(run):
    assert all(row["state"] != "fail" for row in run("doctor", "--json").rows)
    path = run.folder / ".stoker/stoker.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(path.read_bytes())
    content[8192:16384] = os.urandom(8192)
    path.write_bytes(content)
    assert run("doctor", code=1).out.count("fail") >= 1


def test_a_report_shows_hostile_names_as_text(lab):
    name = "<script>alert(1)<'script'>\n.txt"
    lab.write(f"data/{name}", "broken\n")
    lab.write("data/" + os.fsdecode(b"\xff.txt"), "broken\n")
    lab("push", "count", "data")
    lab("run", code=1)
    page = lab("report", "--out", "-").out
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    lab.write("stoker.toml", "[broken")
    assert "<h1>lab</h1>" in lab("report", "--out", "-").out


def test_watching_needs_a_terminal(run):
    assert "needs a terminal" in run("status", "--watch", code=2).err


def test_report_is_one_page_that_needs_nothing_else(run):
    run.write("real.html", "old")
    (run.folder / "page.html").symlink_to("real.html")
    run("report", "--out", "page.html")
    assert (run.folder / "page.html").is_symlink()
    assert not list(run.folder.glob(".*.html.*"))
    assert run("report", "--out", "/dev/stdout").out.startswith("<!doctype html>")
    page = (run.folder / "page.html").read_text()
    assert "<h1>lab</h1>" in page
    assert "the file was damaged" in page
    assert "copy it again" in page
    assert "count/data" in page
    assert "<script" not in page
    assert "http" not in page
    assert run("report", "--out", "-").out.startswith("<!doctype html>")
    assert "cannot be written" in run("report", "--out", "no/such/folder.html", code=2).err


def test_workers_drain_and_up_tidies_once(pushed):
    pushed("up", "--once")
    ended = pushed("work", "--drain", "--name", "helper")
    assert "4 done, 1 failed" in ended.err
    assert "1 failed task in all" in ended.err
    assert pushed("work", "--time-limit", "1s").err.startswith("0 done, 0 failed")
    pushed.write("data/c.txt")
    pushed("retry")
    assert "2 done, 0 failed" in pushed("work", "--drain").err
    assert pushed("workers", "--all", "--json").rows[0]["name"] == "helper"
    assert pushed("pool", "--json").rows[0].items() >= {"pool": "ram", "item": None}.items()


def test_the_service_takes_a_changed_file_over_and_ends_in_order(pushed):
    with subprocess.Popen([STOKER, "up"], cwd=pushed.folder, stderr=subprocess.PIPE) as service:
        file = pushed.folder / "stoker.toml"
        until(lambda: tasks_of(pushed)["done"] == 4)
        file.write_text(file.read_text() + '[pipelines.count.steps.more]\nargv = ["true"]\n')
        until(lambda: tasks_of(pushed)["done"] == 7)
        service.send_signal(signal.SIGTERM)
        told = service.stderr.read().decode()
        assert service.wait(30) == 0
    assert "new step `more`: 3 tasks to do" in told
    assert "stopped after" in told
    assert pushed("workers", "--json").rows == []


def tasks_of(lab):
    return lab("status", "--json").json["pipelines"]["count"]["tasks"]


def until(is_so):
    limit = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < limit, "it did not come to be within a minute"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["stauts"], 2, "did you mean `status`?"),
        (["tasks", "--nope"], 2, "No such option"),
        (["--project", "/nowhere", "status"], 3, "no project at `/nowhere`"),
        (["status"], 3, "there is no store"),
        (["prune", "--older-than", "soon"], 2, "is not a time"),
    ],
)
def test_errors_name_the_thing_and_the_remedy(lab, arguments, code, words):
    ended = lab(*arguments, code=code)
    assert ended.out == ""
    assert words in ended.err


def test_an_empty_state_or_condition_does_not_choose_all(run):
    for verb in ("tasks", "items", "retry", "rerun"):
        assert "`--state` names no state" in run(verb, "--state", "", code=2).err
        assert "is not a condition" in run(verb, "--where", "", code=2).err


def test_a_project_is_found_upwards_and_by_the_environment(run):
    deep = run.folder / "data"
    assert run("status", cwd=deep).out.startswith("count: 3 items")
    assert run("status", cwd="/", STOKER_PROJECT=str(run.folder)).out.startswith("count: 3 items")


@pytest.mark.parametrize("more", ["", "--json"])
def test_a_reader_that_has_enough_ends_nothing_badly(run, more):
    file = run.folder / "stoker.toml"
    file.write_text('[pipelines.p]\nitems = "records"\n[pipelines.p.steps.a]\nargv = ["true"]\n')
    run("push", "p", "--from", "-", given=b"\n".join(b"%060d" % n for n in range(4_000)))
    line = f"set -o pipefail; {STOKER} tasks --pipeline p {more} | head -n 1"
    done = subprocess.run(
        ["bash", "-c", line], cwd=run.folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_journal_says_who_applied_and_who_pruned_and_why(run):
    file = run.folder / "stoker.toml"
    file.write_text(file.read_text().replace("gain {params.gain}", "amount {params.gain}"))
    run("apply", "--reason", "better words")
    run("prune", "--older-than", "0s", "--reason", "disk is full", "--dry-run")
    run("prune", "--older-than", "0s", "--reason", "year is over")
    with sqlite3.connect(run.folder / ".stoker/stoker.db") as store:
        query = (
            "SELECT event, data FROM journal WHERE event IN ('set_version', 'prune') ORDER BY id"
        )
        rows = [(event, json.loads(data)) for event, data in store.execute(query)]
    said = [(event, data.get("reason")) for event, data in rows]
    assert said == [
        ("set_version", None),
        ("set_version", "better words"),
        ("prune", "year is over"),
    ]
    assert all(data["by"] for _, data in rows)
    assert run("store", "check", "--journal").code == 0
