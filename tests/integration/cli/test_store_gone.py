"""A store that goes away under a worker: one sentence, an end, and no task that failed for it."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from integration.cli.conftest import STOKER

SLOW = """
[pipelines.slow]
items = "records"
[pipelines.slow.steps.s]
run = "sleep 0.3; echo {key} > {out.o}"
outputs.o = "out/{key}"
"""


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_a_worker_ends_with_a_sentence_when_its_store_goes(lab, how):
    (lab.folder / "stoker.toml").write_text(SLOW)
    lab("push", "slow", *map(str, range(100)))
    worker = subprocess.Popen(
        [STOKER, "work", "--slots", "2"], cwd=lab.folder, stderr=subprocess.PIPE, text=True
    )
    try:
        until_s = time.monotonic() + 60
        while not (lab.folder / "out").is_dir() and time.monotonic() < until_s:
            time.sleep(0.05)
        if how == "moved":
            os.rename(lab.folder / ".stoker", lab.folder / "kept")
        else:
            shutil.rmtree(lab.folder / ".stoker", ignore_errors=True)
            shutil.rmtree(lab.folder / ".stoker", ignore_errors=True)
            lab("push", "slow", "x")
        _, said = worker.communicate(timeout=60)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert worker.returncode == 6, said
    assert "Traceback" not in said
    assert said.count("stoker: ") == 1
    assert "was moved or deleted" in said or "another file has taken" in said
    assert (lab.folder / ".stoker").exists() is (how == "replaced")
    if how == "replaced":
        assert lab("status", "--json").json["pipelines"]["slow"]["items"]["waiting"] == 1
        return
    os.rename(lab.folder / "kept", lab.folder / ".stoker")
    tasks = [json.loads(line) for line in lab("tasks", "--json").out.splitlines()]
    assert len(tasks) == 100
    assert {task["state"] for task in tasks} <= {"ready", "running", "done"}
    lab("store", "check")


def test_a_copy_is_refused_while_the_original_is_in_its_place(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run.folder, copy)
    for command in ("run", "push count data", "apply", "work --drain", "up --once --no-web"):
        said = run(*command.split(), cwd=copy, code=6).err
        assert "is a copy of the store" in said
        assert "stoker adopt" in said
    assert run("status", "--json", cwd=copy).json["pipelines"]
    run.folder.rename(tmp_path / "away")
    assert "moved here" in run("run", cwd=copy, code=1).err, "one item of this project fails"
