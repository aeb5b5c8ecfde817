"""Who may read and write what Stoker makes: files of real accounts, whatever their umask."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from integration.cli.conftest import Lab

LAB = 54000  # the group of the shared folder
ANN, BOB, EVE = (54001, 54001, LAB), (54002, 54002, LAB), (54003, 54003)
BIG = """
[pipelines.a]
items = "records"
[pipelines.a.steps.s]
run = "head -c 20000 /dev/zero | tr '\\\\0' x; mkdir sub; echo {key} > {out.o}"
outputs.o = "out/{key}"
[pipelines.b]
items = "records"
[pipelines.b.steps.s]
run = '''
for pid in $PPID $(awk '{print $4}' /proc/$PPID/stat); do
    if tr '\\0' '\\n' < /proc/$pid/environ; then echo "the environment of $pid is open"; fi
done 2> /dev/null
cat /proc/self/environ | tr '\\0' '\\n' | grep STOKER_KEY
setsid sleep 300 &
'''
"""
READING = (
    *(("status",), ("items",), ("tasks",), ("attempts",), ("show", "x"), ("logs", "x")),
    *(("failures",), ("why", "x"), ("pool",), ("workers",), ("plan",), ("check",)),
    *(("which", "out/x"), ("store", "check"), ("store", "size"), ("doctor",)),
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other accounts")


def modes(folder):
    """Every folder and file at and below `folder`, with its mode and group."""
    found = {}
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        found[path] = (path.is_dir(), stat.S_IMODE(status.st_mode), status.st_gid)
    return found


@pytest.fixture
def shared(forker):
    """A project in a folder of the group, to which everybody finds the way."""
    with TemporaryDirectory() as way:
        Path(way).chmod(0o755)
        folder = Path(way, "lab")
        folder.mkdir()
        (folder / "stoker.toml").write_text('[store]\naccess = "group"\n' + BIG)
        os.chown(folder, -1, LAB)
        folder.chmod(0o2770)
        yield Lab(folder, forker)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_what_is_made_is_private_whatever_the_umask(lab, umask):
    (lab.folder / "stoker.toml").write_text(BIG)
    lab("run", "a", "x", umask=umask)
    made = lab.folder / ".stoker"
    with closing(sqlite3.connect(made / "stoker.db")) as open_now:
        open_now.execute("SELECT 1 FROM site")
        lab("push", "a", "y", umask=umask)
        lab("store", "backup", str(made / "backup.db"), umask=umask)
        found = modes(made)
    assert {"stoker.db-wal", "stoker.db-shm", "backup.db"} <= {path.name for path in found}
    wanted = {True: 0o700, False: 0o600}
    assert not {p: oct(mode) for p, (is_dir, mode, _) in found.items() if mode != wanted[is_dir]}
    lab("store", "copy", "sqlite:///other/stoker.db", "--yes", umask=umask)
    moved = modes(lab.folder / "other")
    assert not {p: oct(mode) for p, (is_dir, mode, _) in moved.items() if mode != wanted[is_dir]}


@as_root
def test_a_group_works_on_one_project_whatever_the_umask(shared):
    shared("run", "a", "x", account=ANN, umask=0o077)
    shared("run", "a", "x", "y", account=BOB, umask=0o077)
    shared("push", "a", "z", account=BOB, umask=0o022)
    shared("run", account=ANN, umask=0o022)
    assert shared("status", "--json", account=BOB).json["pipelines"]["a"]["items"]["done"] == 3
    for key in "xyz":
        for account in (ANN, BOB):
            assert f"{key}" in shared("which", f"out/{key}", account=account).out
            assert "xxxx" in shared("logs", key, account=account).out
    with closing(sqlite3.connect(shared.folder / ".stoker/stoker.db")):
        shared("hold", "x", account=BOB, umask=0o077)
        found = modes(shared.folder / ".stoker")
    wanted = {True: (0o2770, LAB), False: (0o660, LAB)}
    assert not {p: (oct(m), g) for p, (d, m, g) in found.items() if (m, g) != wanted[d]}
    assert "private" not in shared("check", account=BOB).err
    assert "ermission" in shared("status", account=EVE, code=5).err


@as_root
def test_a_private_project_becomes_the_groups_once_the_file_says_so(shared):
    text = (shared.folder / "stoker.toml").read_text()
    (shared.folder / "stoker.toml").write_text(BIG)
    shared("run", "a", "x", account=ANN, umask=0o002)
    refused = shared("status", account=BOB, code=6).err
    assert "private to" in refused
    assert 'access = "group"' in refused
    (shared.folder / "stoker.toml").write_text(text)
    assert "private to" in shared("status", account=BOB, code=6).err  # Ann's to open
    shared("status", account=ANN)
    assert "xxxx" in shared("logs", "x", account=BOB).out
    shared("run", "a", "y", account=BOB)


@as_root
def test_an_account_outside_the_group_is_told_so(shared):
    shared.folder.chmod(0o777)
    assert "not in it" in shared("push", "a", "x", account=EVE, code=6).err


@as_root
@pytest.mark.parametrize("is_open", [False, True], ids=["at rest", "while a writer works"])
def test_who_may_only_read_can_ask_everything(shared, is_open):
    (shared.folder / "stoker.toml").write_text(BIG)
    shared.folder.chmod(0o755)
    shared("run", "a", "x")
    with closing(sqlite3.connect(shared.folder / ".stoker/stoker.db")) as writer:
        if is_open:
            writer.execute("BEGIN IMMEDIATE")
        for path in (shared.folder / ".stoker", *(shared.folder / ".stoker").rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        if not is_open:
            writer.close()
        for words in READING:
            shared(*words, account=EVE, code=1 if words[0] == "doctor" else 0)
        assert "can only be read" in shared("push", "a", "y", account=EVE, code=6).err
        assert "can only be read" in shared("rerun", "x", account=EVE, code=6).err


@as_root
def test_a_task_reads_neither_its_workers_nor_its_wardens_environment(shared):
    """Nor can anybody else of that account; what the worker needs to see, it goes on seeing."""
    shared("run", "b", "x", account=ANN, SECRET="hidden")
    said = shared("logs", "x", account=ANN).out
    assert "is open" not in said
    assert "STOKER_KEY=x" in said


def test_check_warns_of_what_others_can_read(lab):
    lab.write("data/a.txt")
    lab("push", "count", "data")
    assert "warning" not in lab("check").err
    (lab.folder / ".stoker").chmod(0o755)
    warned = lab("check").err
    assert "everybody on this machine can get at" in warned
    assert "chmod -R go= .stoker" in warned
    assert 'access = "group"' in warned
    assert "everybody on this machine" in lab("doctor").out
    (lab.folder / ".stoker").chmod(0o770)
    assert "its group can get at" in lab("check").err
    (lab.folder / ".stoker").chmod(0o700)
    text = (lab.folder / "stoker.toml").read_text()
    for url, is_warned in (
        ("postgresql+psycopg://ann:secret@db/lab", True),
        ("mariadb+pymysql://ann@db/lab?password=secret", True),
        ("postgresql+psycopg://ann:${PASSWORD}@db/lab", False),
        ("postgresql+psycopg://ann@db/lab", False),
    ):
        (lab.folder / "stoker.toml").write_text(f'[store]\nurl = "{url}"\n{text}')
        err = lab("check").err
        assert ("holds a password in clear" in err) is is_warned
        assert "secret" not in err
