"""Error folders: what is in one, that it appears whole, and that nothing else is ever harmed."""

import json
import os
import stat

import pytest


def written(rig, steps, *, error_folder='"errors/{key}/"', keys=("k",), **more):
    """Work off a pipeline with an error folder; return the attempts."""
    return rig.run(f"error_folder = {error_folder}\n{steps}", *keys, **more)


def step(run, *, name="s", more=""):
    return f"[pipelines.p.steps.{name}]\nrun = '''{run}'''\n{more}\n"


def content(folder):
    """Return what is in a folder: the text of files, what links are to read, None for folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = None if path.is_dir() else path.read_text(errors="surrogateescape")
    return found


def test_it_has_reason_streams_and_a_link_to_the_item(rig):
    data = rig.folder / "k.dat"
    data.touch()
    causes = "causes = [{ match = 'no licen', say = 'All licences are used', do = 'wait' }]"
    rig.write(
        'error_folder = "errors/{key}/"\n'
        + step("echo out; echo no license >&2; exit 3", more=causes),
        items="files",
    )
    rig.push_file(data, "k")
    rig.work()
    seen = rig.attempts()["k"]
    found = content(rig.folder / "errors" / "k")
    record = json.loads(found.pop("reason.json"))
    assert found == {
        "REASON.txt": "s: All licences are used (exit code 3: no license)\ndo: wait\n",
        "stdout": "out\n",
        "stderr": "no license\n",
        "item": f"-> {data}",
    }
    assert record["attempt"].replace("-", "") == seen.row.id.hex()
    assert (record["pipeline"], record["item"], record["step"]) == ("p", "k", "s")
    assert (record["state"], record["exit_code"], record["number"]) == ("failed", 3, 1)
    assert (record["say"], record["do"]) == ("All licences are used", "wait")
    assert record["path"] == str(data)
    assert record["ended_at"].endswith("Z")
    assert seen.reason == "exit code 3: no license", "the record is as without an error folder"


@pytest.mark.parametrize(
    ("run", "more"),
    [
        ("exit 0", ""),
        ("exit 3", 'exits = { 3 = "skip" }'),
        ("exit 4", 'exits = { 4 = "stop" }'),
    ],
)
def test_there_is_none_for_what_has_not_failed(rig, run, more):
    written(rig, step(run, more=more))
    assert not (rig.folder / "errors").exists()


def test_there_is_one_only_when_no_retry_is_left(rig):
    seen = written(
        rig,
        step("[ -e ../../../../errors ] && exit 9; echo $STOKER_ATTEMPT >&2; exit 1",
             more="retries = 2\nbackoff = 0"),
    )["k"]  # fmt: skip
    assert seen.row.number == 3
    record = json.loads((rig.folder / "errors/k/reason.json").read_text())
    assert record["number"] == 3
    assert record["attempt"] in (rig.folder / "errors/k/stderr").read_text()


def test_partial_results_are_those_that_the_globs_pick(rig):
    run = """
        mkdir -p quant/deep empty
        echo a > a.log; echo b > b.txt; echo q > quant/q; echo d > quant/deep/d; echo . > quant/.hid
        echo s > stdout; mkdir scratch; echo x > scratch/x.log; echo half > {out.x}; exit 1"""
    written(
        rig,
        step(run, more='outputs.x = "x/{key}"'),
        error_folder='{ to = "errors/{key}", from = ["*.log", "quant", "stdout", "scratch/**", '
        '"out/**"] }',
    )
    found = content(rig.folder / "errors" / "k")
    del found["reason.json"], found["REASON.txt"]
    assert found == {
        "stdout": "",
        "stderr": "",
        "a.log": "a\n",
        "quant": None,
        "quant/q": "q\n",
        "quant/.hid": ".\n",
        "quant/deep": None,
        "quant/deep/d": "d\n",
        "scratch": None,
        "scratch/stdout": "s\n",
        "scratch/scratch": None,
        "scratch/scratch/x.log": "x\n",
        "out": None,
        "out/x": None,
        "out/x/k": "half\n",
    }
    assert not (rig.folder / "x").exists()


def test_what_exceeds_the_size_is_named(rig):
    run = "head -c 700 /dev/zero > a; head -c 700 /dev/zero > b; head -c 200 /dev/zero > c; exit 1"
    written(rig, step(run), error_folder='{ to = "errors/{key}/", from = "*", max_size = "1K" }')
    folder = rig.folder / "errors" / "k"
    assert (folder / "LEFT_OUT.txt").read_text() == (
        "b\t700\tmore than `max_size` (1024 bytes in all) has room for\n"
    )
    assert {path.name for path in folder.iterdir()} >= {"a", "c"}
    assert json.loads((folder / "reason.json").read_text())["left_out"] == 1


def test_nothing_hostile_gets_in(rig, tmp_path_factory):
    others = tmp_path_factory.mktemp("others")
    (others / "secret").write_text("private")
    (others / "linked").write_text("linked")
    os.chmod(others / "linked", 0o604)
    run = f"""
        ln -s {others} folder; ln -s {others}/secret file; ln -s nowhere gone; mkfifo fifo
        ln {others}/linked hard; echo mine > mine; ln -s mine own; ln -s . loop; mkdir -p d; ln -s d dl
        printf x > "$(printf 'new\\nline')"; printf y > "$(printf 'b\\377d')"; printf z > ./-rf
        echo s > suid; chmod 6755 suid; echo n > none; chmod 000 none; exit 1"""
    written(rig, step(run), error_folder='{ to = "errors/{key}/", from = ["*", "fifo"] }')
    folder = rig.folder / "errors" / "k"
    left_out = (folder / "LEFT_OUT.txt").read_text()
    assert sorted(line.partition("\t")[0] for line in left_out.splitlines()) == [
        "dl", "fifo", "file", "folder", "gone", "loop",
    ]  # fmt: skip
    assert "private" not in "".join(map(str, content(folder).values()))
    assert (folder / "own").read_text() == "mine\n"
    assert not (folder / "own").is_symlink()
    assert (folder / "none").read_text() == "n\n"
    assert not (folder / "suid").stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    assert (folder / "hard").read_text() == "linked"
    assert (folder / "hard").stat().st_ino != (others / "linked").stat().st_ino
    assert (others / "linked").stat().st_mode & 0o777 == 0o604
    assert (folder / "new\nline").exists()
    assert (folder / "-rf").exists()
    assert b"b\xffd" in os.listdir(os.fsencode(folder))
    assert sorted(path.name for path in others.iterdir()) == ["linked", "secret"]


def test_a_later_failure_replaces_the_folder_of_the_earlier_one(rig):
    rig.write('error_folder = { to = "errors/{key}/", from = "*" }\n' + step("echo 1 > a; exit 1"))
    rig.push("k")
    rig.work()
    rig.write('error_folder = { to = "errors/{key}/", from = "*" }\n' + step("echo 2 > b; exit 2"))
    retry(rig)
    rig.work()
    found = content(rig.folder / "errors" / "k")
    assert found["REASON.txt"] == "s: exit code 2\n"
    assert (found.get("a"), found["b"]) == (None, "2\n")


def retry(rig):
    from stoker.model.selection import Selection
    from stoker.store.actor import Actor
    from stoker.store.orders import verbs

    verbs.retry(rig.store, Selection(), Actor("me"))


@pytest.mark.parametrize("foreign", ["folder", "file", "added", "changed"])
def test_what_a_person_put_there_is_never_replaced(rig, foreign):
    target = rig.folder / "errors" / "k"
    rig.write('error_folder = "errors/{key}/"\n' + step("exit 1"))
    rig.push("k")
    if foreign in ("folder", "file"):
        target.parent.mkdir()
        target.write_text("mine") if foreign == "file" else target.mkdir()
        if foreign == "folder":
            (target / "mine").touch()
    else:
        rig.work()
        name = "mine" if foreign == "added" else "REASON.txt"
        (target / name).write_text("a remark of mine")
        retry(rig)
    before = None if foreign == "file" else content(target)
    rig.work()
    seen = rig.attempts()["k"]
    assert seen.task == "failed"
    assert seen.reason.startswith("exit code 1; it has no error folder: ")
    assert "move it away" in seen.reason
    assert seen.row.cause == "exit code 1"
    assert target.read_text() == "mine" if foreign == "file" else content(target) == before


def test_two_items_never_share_one(rig):
    rig.write(
        'error_folder = "errors/{params.x}{params.y}"\nkey = "{params.x}-{params.y}"\n'
        "[pipelines.p.params]\nx = {}\ny = {}\n" + step("echo {key}; exit 1")
    )
    rig.push("a-bc", params={"x": "a", "y": "bc"})
    rig.push("ab-c", params={"x": "ab", "y": "c"})
    rig.work(slots=1)
    both = rig.all_attempts()  # threads conclude them, in either order
    (first,) = (one for one in both if one.reason == "exit code 1")
    (second,) = (one for one in both if one is not first)
    assert f"was published by step `s` of `{first.key}` and stays its own" in second.reason
    assert (rig.folder / "errors/abc/stdout").read_text() == f"{first.key}\n"


def test_a_key_never_leads_out_of_the_folder(rig):
    seen = written(rig, step("exit 1"), keys=("a/../../x",))["a/../../x"]
    assert seen.task == "failed"
    assert "would leave its folder" in seen.reason
    assert not (rig.folder / "errors").exists()


def test_a_thousand_fail_at_once(rig):
    keys = tuple(f"k{n:03}" for n in range(300))
    written(rig, step("echo $STOKER_KEY; exit 1"), keys=keys)
    folders = sorted((rig.folder / "errors").iterdir())
    assert [folder.name for folder in folders] == list(keys)
    assert all((one / "stdout").read_text() == f"{one.name}\n" for one in folders)


@pytest.mark.parametrize("action", ["filled", "reserved"])
def test_a_full_disk_loses_no_failure(rig, monkeypatch, action):
    from stoker import failpoints

    armed = failpoints.parse(f"error_folder.{action}=raise")
    monkeypatch.setattr(failpoints, "_armed", armed)
    monkeypatch.setattr(failpoints, "_hits", {})
    written(
        rig, step("echo x > a.log; exit 1"), error_folder='{ to = "errors/{key}/", from = "*.log" }'
    )
    folder = rig.folder / "errors" / "k"
    assert (folder / "REASON.txt").read_text() == "s: exit code 1\n"
    assert (folder / "LEFT_OUT.txt").read_text() == "*.log\tthe disk was full\n"
    assert rig.attempts()["k"].task == "failed"


# ------------------------------------------------------------------------- what the janitor looks after

WITH = 'error_folder = { to = "errors/{key}/", from = "*.log" }\n'


def tidy(rig):
    from stoker.project.services.janitor import tidy_once

    tidy_once(rig.store)


def rows(rig):
    from sqlalchemy import select

    from stoker.store import tables

    with rig.store.reading() as unit:
        return unit.execute(select(tables.error_folder)).fetchall()


def test_it_is_removed_when_the_item_is_done_after_all(rig):
    (rig.folder / "bad").touch()
    rig.write(
        'error_folder = "errors/{dir}/{name}/"\nkey = "{params.k}"\n[pipelines.p.params]\nk = {}\n'.replace(
            "errors/{dir}/{name}/", "errors/{key}/"
        )
        + step(f"[ ! -e {rig.folder}/bad ]")
    )
    rig.push("a/b/c", "a/d", "e")
    rig.work()
    tidy(rig)
    assert sorted(path.name for path in (rig.folder / "errors/a/b").iterdir()) == ["c"]
    (rig.folder / "errors/a/d/note").write_text("mine")
    (rig.folder / "bad").unlink()
    retry(rig)
    tidy(rig)
    assert (rig.folder / "errors/e/REASON.txt").exists(), "it stays until the item is done"
    rig.work()
    tidy(rig)
    assert content(rig.folder / "errors") == {"a": None, "a/d": None, "a/d/note": "mine"}
    assert rows(rig) == []


def test_all_steps_of_an_item_that_failed_are_in_it(rig):
    rig.write(
        WITH
        + step("echo 1 > x.log; exit 1", name="one")
        + step("echo 2 > x.log; exit 2", name="two")
        + step(f"echo 3 > x.log; [ -e {rig.folder}/good ]", name="three")
    )
    rig.push("k")
    rig.work(slots=4)
    folder = rig.folder / "errors" / "k"
    last = json.loads((folder / "reason.json").read_text())["step"]
    others = sorted({"one", "two", "three"} - {last})
    assert sorted(path.name for path in (folder / "other_steps").iterdir()) == others
    for name in others:
        record = json.loads((folder / "other_steps" / name / "reason.json").read_text())
        assert record["step"] == name
        assert (folder / "other_steps" / name / "x.log").exists()
    tidy(rig)
    assert folder.exists()
    (rig.folder / "good").touch()
    retry(rig)
    rig.work(slots=4)
    found = {path.name for path in folder.rglob("*") if path.is_dir()} - {"other_steps"}
    last = json.loads((folder / "reason.json").read_text())["step"]
    assert {last, *found} == {"one", "two"}, "what is done is not among the failures"


def test_an_attempt_that_never_started_has_one_too(rig):
    data = rig.folder / "gone"
    data.touch()
    rig.write(WITH + step("cat {item}"), items="files")
    rig.push_file(data, "k")
    data.unlink()
    rig.work()
    tidy(rig)
    found = content(rig.folder / "errors/k")
    assert found["REASON.txt"] == f"s: the item's file `{data}` is gone\n"
    assert found["LEFT_OUT.txt"] == "*.log\tthe attempt never started\n"
    assert json.loads(found["reason.json"])["state"] == "failed"
    assert found["item"] == f"-> {data}"


def test_a_task_that_was_lost_too_often_has_one(rig):
    rig.write(WITH + step("true"))
    rig.push("k")
    from stoker.work.store_link import StoreLink
    from store.rig import Rig as StoreRig

    of_store = StoreRig(rig.store, StoreLink(rig.store))
    for _ in range(3):
        worker = of_store.worker()
        of_store.claim(worker)
        assert rows(rig) == []
        of_store.link.reap(dead_workers=[worker])
    assert rig.task_states() == {"k/s": "failed"}
    tidy(rig)
    found = content(rig.folder / "errors/k")
    assert found["REASON.txt"].startswith("s: its worker `host-1` on `host` died")
    assert json.loads(found["reason.json"])["state"] == "lost"
    assert found["LEFT_OUT.txt"] == "*.log\tthe attempt never started\n"
    assert [row.tries for row in rows(rig)] == [0]
    before = os.stat(rig.folder / "errors/k").st_ino
    tidy(rig)
    assert os.stat(rig.folder / "errors/k").st_ino == before


def test_what_could_not_be_written_is_written_later(rig):
    target = rig.folder / "errors"
    target.write_text("a file in the way")
    written(rig, step("echo said; exit 1"))
    tidy(rig)
    (row,) = rows(rig)
    assert (row.made_us, row.tries) == (None, 1)
    target.unlink()
    from sqlalchemy import update

    from stoker.store import tables

    with rig.store.writing() as unit:
        unit.execute(update(tables.error_folder).values(not_before_us=0))
    tidy(rig)
    found = content(target / "k")
    assert found["stdout"] == "said\n"
    assert found["REASON.txt"].startswith("s: exit code 1")


@pytest.mark.parametrize("point", ["filled", "begun", "before_commit", "reserved", "placed"])
@pytest.mark.parametrize("then", ["done", "failed"])
def test_killed_at_any_moment_it_is_as_the_store_says(rig, point, then):
    import subprocess

    from integration.work.rig import worker_command

    rig.write(WITH + step(f"echo x > a.log; [ -e {rig.folder}/good ]"))
    rig.push("k")
    env = {**os.environ, "STOKER_FAILPOINTS": f"error_folder.{point}=kill"}
    killed = subprocess.run(
        worker_command(rig, drain=True, lease_s=1.0), env=env, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    assert (rig.folder / "errors/k").exists() == (point == "placed")
    tidy_when_lost(rig)
    assert not (rig.folder / "errors/k").exists(), "of an attempt that came to nothing"
    if then == "done":
        (rig.folder / "good").touch()
    rig.work()
    tidy(rig)
    assert rig.task_states() == {"k/s": then}
    assert (rig.folder / "errors/k").exists() == (then == "failed")
    if then == "failed":
        assert (rig.folder / "errors/k/a.log").read_text() == "x\n"
    assert len(rows(rig)) == (then == "failed")


def tidy_when_lost(rig):
    from integration.work.rig import wait_until
    from stoker.work import leftovers
    from stoker.work.store_link import StoreLink

    def lost():
        leftovers.clear(StoreLink(rig.store), str(rig.folder / ".stoker/scratch"))
        tidy(rig)
        return rig.task_states() == {"k/s": "ready"}

    wait_until(lost, "the attempt is lost")
    tidy(rig)
    assert rig.leftovers() == []


@pytest.mark.parametrize("point", ["filled", "reserved", "placed"])
def test_a_janitor_that_is_killed_leaves_nothing_half_done(rig, point):
    import subprocess
    import sys

    data = rig.folder / "gone"
    data.touch()
    rig.write(WITH + step("cat {item}"), items="files")
    rig.push_file(data, "k")
    data.unlink()
    rig.work()
    janitor = (
        "import sys; from stoker.store.database.connect import open_store; "
        "from stoker.project.services.janitor import tidy_once; tidy_once(open_store(sys.argv[1]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", janitor, rig.settings.store_url],
        env={**os.environ, "STOKER_FAILPOINTS": f"error_folder.{point}=kill"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    tidy(rig)
    assert [path.name for path in (rig.folder / "errors").iterdir()] == ["k"]
    assert (rig.folder / "errors/k/REASON.txt").exists()
    assert [row.made_us is not None for row in rows(rig)] == [True]


def test_a_janitor_killed_while_it_removes_one_removes_it_in_its_next_turn(rig):
    import subprocess
    import sys

    rig.write(WITH + step(f"[ -e {rig.folder}/good ]"))
    rig.push("k")
    rig.work()
    tidy(rig)
    assert (rig.folder / "errors/k/REASON.txt").exists()
    (rig.folder / "good").touch()
    retry(rig)
    rig.work()
    janitor = (
        "import sys; from stoker.store.database.connect import open_store; "
        "from stoker.project.services.janitor import tidy_once; tidy_once(open_store(sys.argv[1]))"
    )
    killed = subprocess.run(
        [sys.executable, "-c", janitor, rig.settings.store_url],
        env={**os.environ, "STOKER_FAILPOINTS": "error_folder.removed=kill"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    tidy(rig)
    assert not (rig.folder / "errors/k").exists()
    assert rows(rig) == []


def test_an_attempt_that_lost_its_task_leaves_nothing(rig):
    from stoker.errors import StaleAttempt
    from stoker.work.store_link import StoreLink
    from store.rig import Rig as StoreRig
    from store.rig import wanted

    rig.write(WITH + step("true"))
    rig.push("k")
    of_store = StoreRig(rig.store, StoreLink(rig.store))
    worker = of_store.worker()
    (task,) = of_store.claim(worker)
    of_store.link.reap(dead_workers=[worker])
    with pytest.raises(StaleAttempt):
        of_store.link.begin_error_folder(task.attempt, task.task_id, ["/e/k"])
    with pytest.raises(StaleAttempt):
        of_store.link.reserve_error_folder(task.attempt, task.task_id, wanted("/e/k", parts=b""))
    assert rows(rig) == []


def test_those_of_forgotten_items_are_a_persons_own(rig):
    from stoker.model.selection import Selection
    from stoker.store.actor import Actor
    from stoker.store.orders import verbs

    written(rig, step("exit 1"))
    verbs.cancel(rig.store, Selection(), Actor("me"))
    from stoker.model.retention import Retention
    from stoker.store import journal_fold
    from stoker.store.retention.prune import prune

    journal_fold.fold(rig.store)
    prune(rig.store, Retention(items={"cancelled": 0.0}))
    assert rows(rig) == []
    assert (rig.folder / "errors/k/REASON.txt").exists()
