"""Spools on file systems that are not as a disk here: NFS, as far as a test can be one, and read-only ones.

A mount of NFS needs a kernel with it, which machines of tests do not have. What it does is put between
the spool and the system calls: an answer that was lost, so that the second request finds that done
which it asks for; and a folder's list that is some time old.
"""

import errno
import json
import os
import subprocess
from itertools import chain
from pathlib import Path

import pytest

import disks
from integration.outposts.rig import STEPS
from integration.work.rig import wait_until
from stoker.errors import StokerError
from stoker.outpost import sealed
from stoker.outpost.spool import Spool

ONCE = STEPS.replace(
    "mkdir {out.tree}",
    'touch "$RUNS/began"; until [ -e "$RUNS/go" ]; do sleep 0.1; done; mkdir {out.tree}',
)


@pytest.fixture
def second_answers(monkeypatch):
    """Every second rename and link in a spool is done, and answered as one that was done before."""
    asked = []

    def twice(act, code):
        def acted(source, target, **more):
            act(source, target, **more)
            if Path(os.fsdecode(target)).parent.name in ("todo", "taken", "done", "back", "starts"):
                asked.append(target)
                if len(asked) % 2:
                    raise OSError(code, os.strerror(code), source)

        return acted

    monkeypatch.setattr(os, "rename", twice(os.rename, errno.ENOENT))
    monkeypatch.setattr(os, "link", twice(os.link, errno.EEXIST))


def test_answers_that_were_lost_cost_nothing(rig, second_answers):
    rig.write()
    rig.push(*"abcdef")
    rig.work()
    rig.visit()
    with rig.worker_there() as one, rig.worker_there() as other:
        assert (one.wait(60), other.wait(60)) == (0, 0)
    done = rig.visit()
    assert (done.recorded, done.lost, done.given_back) == (6, 0, 0)
    rig.work()
    rig.check(*"abcdef")
    assert [len((rig.runs / key).read_text().split()) for key in "abcdef"] == [1] * 6


def move(spool, names, number):
    """Return what this one has in the end: the first recalls some, the others take, one gives some back."""
    if not number:
        return [name for name in names[::2] if spool.recall(name)]
    start, kept = f"{number:012x}", []
    for turn, name in enumerate(names[number * 50 :] + names[: number * 50]):
        if spool.take(name, start):
            if number > 1 or turn % 3:
                kept.append(name)
            else:
                spool.give_back(name, start)  # who has it next may be faster than its answer
    return kept


def test_of_several_who_want_a_bundle_one_gets_it(rig, second_answers):
    spool = Spool(str(rig.spool))
    spool.make()
    names = [f"{1 << 63:016x}-{number:032x}.json" for number in range(300)]
    for name in names:
        (rig.spool / "todo" / name).touch()
    children = []
    for number in range(4):
        if not (child := os.fork()):
            code = 70
            try:
                (rig.runs / f"{number}").write_text(json.dumps(move(spool, names, number)))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    kept = [json.loads((rig.runs / f"{number}").read_text()) for number in range(4)]
    assert sorted([*chain(*kept), *os.listdir(rig.spool / "todo")]) == names
    there = [len(os.listdir(rig.spool / folder)) for folder in ("back", "taken")]
    assert there == [len(kept[0]), sum(map(len, kept[1:]))]


@pytest.mark.parametrize("hides", ["the list", "the file"])
def test_a_start_that_is_not_seen_yet_loses_nothing(rig, monkeypatch, hides):
    """The folder of starts is some seconds older, to the host that is visited, than that of what is taken."""
    rig.write(ONCE)
    rig.push("a")
    rig.work()
    rig.visit()
    with rig.worker_there() as worker:
        wait_until((rig.runs / "began").exists, "the task runs there")
        with monkeypatch.context() as patch:
            listdir, read = os.listdir, sealed.read

            def old_list(path):
                return [] if str(path).endswith("/starts") else listdir(path)

            def old_read(path):
                if "/starts/" in path:
                    raise FileNotFoundError(path)
                return read(path)

            patch.setattr(os, "listdir", old_list)
            if hides == "the file":
                patch.setattr(sealed, "read", old_read)
            assert rig.visit().lost == 0
        (rig.runs / "go").touch()
        assert worker.wait(60) == 0
    assert rig.visit().recorded == 1
    rig.work()
    rig.check("a")


def test_a_file_system_that_is_read_only_keeps_what_is_there(rig):
    rig.far.mkdir()
    if not disks.mount(rig.far, "size=20m"):
        pytest.skip("only root can mount a file system")
    try:
        rig.write()
        rig.push("a")
        rig.work()
        rig.visit()
        assert rig.work_there() == 0
        rig.push("b")
        rig.work()
        remount(rig.far, "ro")
        with pytest.raises(StokerError, match="Read-only file system"):
            rig.visit()
        assert (rig.task_states()["a/make"], rig.task_states()["b/make"]) == ("running", "ready")
        remount(rig.far, "rw")
        rig.settle()
        rig.check("a", "b")
    finally:
        disks.unmount(rig.far)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)
