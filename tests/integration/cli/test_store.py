"""`stoker store` and `stoker prune`, as people and programs meet them."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import servers
from stoker.cli import main
from stoker.store.database import schema
from stoker.store.database.connect import open_store
from store.rig import Rig

PASSWORD = "pa55:w/rd@x"


def test_the_life_of_a_store(lab):
    made = lab("store", "create", "--json").json
    assert (made["is_new"], made["site"]) == (True, socket.gethostname())
    assert made["schema"] == schema.HEAD
    assert lab("store", "create").out.startswith("there already: the store")
    lab.write("data/a.txt")
    lab("run")
    checks = lab("store", "check", "--journal", "--json").rows
    assert len(checks) > 10
    assert not [one for one in checks if one["violations"]]
    size = lab("store", "size", "--json").json
    rows = {table["name"]: table["rows"] for table in size["tables"]}
    assert (rows["item"], rows["task"], size["store_bytes"] > 0) == (1, 2, True)
    assert "nothing to do" in lab("store", "upgrade").out
    lab("store", "backup", "b.db")
    assert "`b.db` is there already" in lab("store", "backup", "b.db", code=4).err
    assert "say --yes" in lab("store", "copy", "sqlite:///new.db", code=6).err
    assert "all rows are the same" in lab("store", "copy", "--yes", "sqlite:///new.db").out
    assert f"was moved to `sqlite:///{lab.folder}/new.db`" in lab("status", code=6).err
    with (lab.folder / "stoker.toml").open("a") as file:
        file.write('[store]\nurl = "sqlite:///restored.db"\n')
    lab("store", "restore", "b.db")
    assert lab("status", "--json").json["pipelines"]["count"]["tasks"]["done"] == 2
    assert "holds a store already" in lab("store", "restore", "b.db", code=6).err


def test_the_file_names_the_site(lab):
    file = lab.folder / "stoker.toml"
    whole = file.read_text()
    lab("store", "create")
    named = re.sub(r"(?m)^name = .*$", r'\g<0>\nsite = "modane"', whole, count=1)
    assert named != whole
    file.write_text(named)
    told = lab("apply", "--dry-run").err
    assert f"site `{socket.gethostname()}` is called `modane` now" in told
    lab("apply")
    assert "is called" not in lab("apply").err
    assert lab("store", "create", "--json").json["site"] == "modane"
    lab.write("data/a.txt")
    lab("run")
    assert {row["site"] for row in lab("attempts", "--json").rows} == {"modane"}
    file.write_text(named.replace('"modane"', '"Modane 2"'))
    assert "a name is lower-case letters" in lab("apply", code=2).err


def test_what_does_not_hold_is_named_with_exit_1(run):
    with open_store(f"sqlite:///{run.folder}/.stoker/stoker.db").writing() as unit:
        unit.cursor.execute("UPDATE tally SET n = 77 WHERE n = 2")
    told = run("store", "check", code=1)
    assert "counted as 77" in told.out
    assert "fail  counts" in told.out


def test_prune_forgets_only_what_is_selected(run):
    now = ("prune", "--older-than", "0s")
    assert "without `--step`" in run(*now, "--step", "text", code=2).err
    assert (
        "has no pipeline `cuont`; did you mean `count`"
        in run(*now, "--pipeline", "cuont", code=3).err
    )
    assert "`--what logs` can be narrowed by" in run(*now, "--what", "logs", "a.txt", code=2).err
    assert "give the age of the items to forget" in stays_after(
        run, "prune", "a.txt", setting='logs = "0s"'
    )
    for narrow in (["c.txt"], ["x*"], ["--by", "nobody"], ["--where", "size > 1000000"]):
        nothing = run(*now, *narrow)
        assert nothing.out == ""
        assert "nothing to forget: nothing that was selected is over and that old" in nothing.err
    for empty in ("--state", "--where", "--pipeline"):
        run(*now, empty, "", code=3 if empty == "--pipeline" else 2)
    typo = run(*now, "a.tx", "--dry-run")
    assert (typo.out, "`a.tx`" in typo.err) == ("", True)
    dry = run(*now, "[ac]*", "--dry-run").out.splitlines()
    assert dry == ["would forget 1 item, 2 tasks, 2 attempts", "  count: a.txt"]
    done = run(*now, "[ac]*", "--json")
    assert (done.json["items"], done.err) == (1, "")
    assert [row["item"] for row in run("items", "--json").rows] == ["b.txt", "c.txt"]
    assert (run.folder / "results/a.txt.said").exists()
    run("store", "check", "--journal")


def stays_after(run, *arguments, setting):
    """Refused with `[retention]` as this says; return what was said."""
    file = run.folder / "stoker.toml"
    before = file.read_text()
    file.write_text(f"{before}\n[retention]\n{setting}\n")
    told = run(*arguments, code=2).err
    file.write_text(before)
    return told


def test_prune_takes_the_age_of_selected_items_from_the_settings(run):
    with (run.folder / "stoker.toml").open("a") as file:
        file.write('[retention]\nitems = { done = "0s" }\nlogs = "0s"\n')
    assert "give the age of the items to forget" in run("prune", "--state", "cancelled", code=2).err
    assert "`failed` is not a state" in run("prune", "--state", "failed", code=2).err
    done = run("prune", "--state", "done", "--from-key", "b", "--json").json
    assert (done["items"], done["streams"]) == (1, 0)
    assert run("prune", "--json").json["items"] == 1


def test_prune_by_age_state_and_setting(run):
    assert "give the age of what is to be forgotten" in run("prune", code=2).err
    assert "goes with `--older-than`" in run("prune", "--what", "logs", code=2).err
    wrong = run("prune", "--older-than", "1d", "--state", "failed", code=2).err
    assert "`failed` is not a state in which items can be forgotten; those are `done`" in wrong
    options = ("prune", "--older-than", "0s", "--what", "logs", "--state", "succeeded,lost")
    assert "would forget the logs of 2 attempts" in run(*options, "--dry-run").out
    assert run(*options, "--json").json["streams"] == 2
    assert "was forgotten since" in run("logs", "a.txt", "lines").err
    with (run.folder / "stoker.toml").open("a") as file:
        file.write('[retention]\nitems = "0s"\n')
    assert run("prune", "--json").json["items"] == 2
    run("store", "check", "--journal")


NUMBER = f"{int(schema.HEAD) + 1:04}"  # of the next step of the schema
NEXT = f'''
"""Give items a colour."""
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{NUMBER}", "{schema.HEAD}"
def upgrade():
    op.add_column("item", sa.Column("colour", sa.Integer()))
'''


@pytest.fixture
def later(monkeypatch, tmp_path):
    """A later release, whose schema is one step ahead."""

    def install():
        folder = tmp_path / "migrations"
        shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / f"{NUMBER}_colour.py").write_text(NEXT)
        monkeypatch.setattr(schema, "MIGRATIONS", folder)
        monkeypatch.setattr(schema, "HEAD", NUMBER)

    return install


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def test_a_store_is_upgraded_when_it_is_asked_for(tmp_path, later, capsys, kind):
    url = f"sqlite:///{tmp_path}/s.db"
    if kind == "postgresql":
        url = servers.server(kind).new_database("upgraded")
    (tmp_path / "stoker.toml").write_text(f'[store]\nurl = "{url}"\n')
    store = open_store(url)
    worker = Rig(store).worker(host="busy")

    def stoker(*arguments, code=0):
        found = main.run(["--project", str(tmp_path), *arguments])
        told = capsys.readouterr()
        assert found == code, told
        return told.out + told.err

    later()
    assert "`stoker store upgrade` shows what that changes" in stoker("status", code=6)
    assert "`busy-1` on `busy`" in stoker("store", "upgrade", "--yes", code=6)
    Rig(store).lapse(worker)
    plan = stoker("store", "upgrade", "--dry-run")
    assert f"{NUMBER}  Give items a colour." in plan
    assert ("pg_dump" in plan) == (kind == "postgresql")
    assert "say --yes" in stoker("store", "upgrade", code=6)
    assert f"is of schema {NUMBER} now" in stoker("store", "upgrade", "--yes")
    stoker("status")
    assert (tmp_path / f"s.db.before-{NUMBER}").exists() == (kind == "sqlite")
    store.close()


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS]
)
def test_no_password_is_shown_anywhere(tmp_path, kind):
    """Not by any verb, in errors, with a wrong password, on the command line, or in a file."""
    url = servers.server(kind).with_password(PASSWORD)
    (tmp_path / "stoker.toml").write_text(
        '[pipelines.p.steps.s]\nrun = "cat /proc/$PPID/cmdline; env"\n'
    )
    (tmp_path / "a.txt").write_text("x")
    secret = tmp_path.parent / f"{tmp_path.name}-password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)

    def stoker(*arguments, code=0, password=PASSWORD):
        done = subprocess.run(
            [Path(sys.executable).with_name("stoker"), *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, "LAB_PASSWORD": password},
        )  # fmt: skip
        told = done.stdout + done.stderr
        assert done.returncode == code, told
        assert password not in told
        assert "Traceback" not in told
        return told

    stoker("push", "p", "a.txt")
    refused = stoker("store", "copy", "--yes", url.replace("PASSWORD", "wr0ng-pass"), code=2)
    assert "wr0ng-pass" not in refused
    by_name = url.replace("PASSWORD", "${LAB_PASSWORD}")
    stoker(
        "store", "copy", "--yes", by_name, code=2 if kind == "mariadb" else 5, password="wr0ng-pass"
    )
    stoker("store", "copy", "--yes", url.replace(":PASSWORD", ""), "--password-file", str(secret))
    with (tmp_path / "stoker.toml").open("a") as file:
        file.write(f'[store]\nurl = "{by_name}"\n')
    verbs = ["status", "doctor"]
    if kind == "postgresql":  # the rest has nothing to do with which server it is
        verbs += ["run", "logs a.txt", "show a.txt --as-command", "store backup b"]
    for verb in verbs:
        stoker(*verb.split())
    stoker("status", code=2 if kind == "mariadb" else 5, password="wr0ng-pass")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password is in {path}"


def test_json_of_changing_verbs_is_one_object(lab):
    lab("store", "create")
    done = lab("store", "copy", "--dry-run", "--json", "sqlite:///new.db").json
    assert (done["dry_run"], done["tables"]["site"]) == (True, 1)
    assert json.dumps(done)
    assert not (lab.folder / "new.db").exists()


@pytest.mark.parametrize(
    "words",
    [
        "status", "tasks", "items", "attempts", "failures", "show a.txt", "why a.txt", "logs a.txt",
        "workers", "pool list", "which results/a.txt.lines",
    ],
)  # fmt: skip
def test_a_reading_command_loads_nothing_that_checks_pipelines(run, words):
    file = run.folder / "stoker.toml"
    file.write_text('[store]\nurl = "sqlite:///.stoker/stoker.db"\n' + file.read_text())
    run("status")  # counts what has happened, which a later look need not
    code = (
        "import sys; from stoker.cli.main import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "slow = {'pydantic', 'tree_sitter', 'alembic', 'mako', 'httpx', 'rich', 'fastapi', 'textual'}\n"
        "slow |= {'stoker.spec.membership', 'stoker.store.arrivals.register', 'stoker.work.worker'}\n"
        "slow |= {'difflib', 'stoker.spec.load', 'stoker.model.worker', 'stoker.store.claims'}\n"
        "slow |= {'stoker.model.settings', 'stoker.model.task', 'stoker.store.journal_fold'}\n"
        "slow &= set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()], cwd=run.folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
