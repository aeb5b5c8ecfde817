"""Visits over a real sshd: from the command line, cut in silence, and refused."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import sshd
from integration.work.rig import wait_until
from stoker.errors import Refused, Unavailable, UserError
from stoker.model.outpost import Outpost
from stoker.outpost.dial import Line

STOKER = str(Path(sys.executable).with_name("stoker"))
FILE = """
[project]
name = "lab"
[sites.lyon]
ssh = "site"
folder = "FAR"
stoker = "STOKER"
[pipelines.runs]
items = "records"
[pipelines.runs.steps.count]
run = 'echo "{\\"n\\": 3}" > "$STOKER_VALUES"'
[pipelines.runs.steps.make]
site = "lyon"
run = 'echo {key} {in.count.values.n} > {out.root}'
outputs.root = "root/{key}.root"
[pipelines.runs.steps.use]
site = "lyon"
run = 'cat {in.make.root} {in.make.root} > {out.twice}'
outputs.twice = "twice/{key}"
"""


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    with sshd.Sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def ssh(host, monkeypatch):
    monkeypatch.setenv("RSYNC_RSH", host.command)
    return host


def stoker(folder, *words):
    return subprocess.run(
        [STOKER, *words], cwd=folder, capture_output=True, text=True, timeout=90, check=False
    )


def test_a_run_is_over_when_all_has_come_home(ssh, tmp_path):
    lab, far = tmp_path / "lab", tmp_path / "far"
    lab.mkdir()
    program = (
        tmp_path / "stoker"
    )  # of an account whose login says a word, and a wide terminal's worth
    program.write_text(f"#!/bin/sh\nseq 2000; echo '{{half of it'\nexec {STOKER} \"$@\"\n")
    program.chmod(0o755)
    text = FILE.replace("FAR", str(far)).replace("STOKER", str(program), 1)
    (lab / "stoker.toml").write_text(text)
    assert stoker(lab, "push", "runs", "a", "b").returncode == 0
    why = stoker(lab, "why", "a", "make").stdout
    assert "step `count` before it is ready" in why
    done = stoker(lab, "run")
    assert done.returncode == 0, done.stderr
    assert (far / "twice" / "b").read_text() == "b 3\nb 3\n"
    status = json.loads(stoker(lab, "status", "--json").stdout)
    site = status["sites"]["lyon"]
    assert (site["kind"], site["out"], site["trouble"], site["held"]) == ("outpost", 0, None, False)
    assert site["answered_at"]
    assert status["pipelines"]["runs"]["steps"]["use"]["done"] == 2
    assert stoker(lab, "store", "check").returncode == 0


@pytest.mark.parametrize(
    ("does", "error", "words"),
    [
        (None, UserError, "install Stoker there"),
        ("echo \"Error: No such command 'outpost'.\" >&2; exit 2", UserError, "can be an outpost"),
        ("exit 0", Unavailable, "broke off"),
        ("yes", Unavailable, "makes no sense"),
        ('echo \'{"stoker": 9, "protocol": [7, 9]}\'; cat', Refused, "needs 1"),
        ('echo \'{"stoker": 9, "protocol": [1e999, {}]}\'; cat', Unavailable, "no sense"),
        ("head -c 9000000 /dev/zero", Unavailable, "no sense"),
    ],
    ids=["missing", "0.1.0", "silent", "endless", "later", "odd", "long"],
)
def test_a_host_without_a_far_end_is_named(ssh, tmp_path, does, error, words):
    program = tmp_path / "stoker"
    if does is not None:
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    outpost = Outpost(name="lyon", folder=str(tmp_path), ssh="site", stoker=str(program))
    with pytest.raises(error, match=words), Line(outpost):
        pass


def test_a_line_that_falls_silent_is_given_up(ssh, tmp_path):
    asleep = tmp_path / "asleep"
    asleep.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 60\n")
    asleep.chmod(0o755)
    outpost = Outpost(name="lyon", folder=str(tmp_path), ssh="site", stoker=str(asleep))
    found = []

    def visit():
        began = time.monotonic()
        try:
            with Line(outpost, answer_s=60):
                pass
        except Unavailable:
            found.append(time.monotonic() - began)

    thread = threading.Thread(target=visit)
    thread.start()
    wait_until((tmp_path / "begun").exists, "the far end has begun")
    assert ssh.signal(signal.SIGSTOP)
    thread.join(45)
    ssh.signal(signal.SIGKILL)
    assert found, "it still waits"
    assert found[0] < 30  # 6 to 9 s on an idle machine


SITUATION = """
[project]
name = "edelweiss"
[pools]
uplink = 2
[sites.lyon]
ssh = "site"
folder = "FAR"
stoker = "STOKER"
[pipelines.runs]
key = "{stem}"
[pipelines.runs.sources.closed]
folder = "raw"
settle = "0s"
[pipelines.runs.steps.proc0]
argv = ["STOKER", "transfer", "{item}", "lyon:raw/{key}"]
pools = { uplink = 1 }
exits = { 4 = "fail" }
[pipelines.runs.steps.proc1]
site = "lyon"
run = "tr a-z A-Z < {in.proc0.values.path} > {out.root}"
outputs.root = "root/{key}.root"
[pipelines.runs.steps.proc2]
site = "lyon"
run = 'rev {in.proc1.root} > {out.amp}; echo "$STOKER_SITE $STOKER_PROJECT" >> {out.amp}'
outputs.amp = "amp/{key}.amp"
[pipelines.runs.steps.home]
run = 'STOKER transfer lyon:amp/{key}.amp "$STOKER_PROJECT/amp/" && echo "$STOKER_SITE" > {out.at}'
outputs.at = "at/{key}"
after = ["proc2"]
[pipelines.month]
items = "groups"
[pipelines.month.sources.runs]
pipeline = "runs"
where = "key != 'c'"
[pipelines.month.steps.archive]
site = "lyon"
run = "tar -cf {out.tar} -P -T {members.proc1.root}"
outputs.tar = "archive/{key}.tar"
"""


def test_files_are_sent_worked_on_there_and_archived_there(ssh, tmp_path):
    """The dark-matter experiment: a transfer to the site by its name, steps there, and their archive."""
    lab, far = tmp_path / "lab", tmp_path / "far"
    (lab / "raw").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (lab / "raw" / f"{name}.dat").write_text(name * 3)
    text = SITUATION.replace("FAR", str(far)).replace('"STOKER"', f'"{STOKER}"')
    text = text.replace("STOKER transfer", f"{STOKER} transfer")
    (lab / "stoker.toml").write_text(text)
    done = stoker(lab, "run")
    assert done.returncode == 0, done.stderr + stoker(lab, "failures").stdout
    assert (far / "raw" / "a").read_text() == "aaa"
    assert (lab / "amp" / "b.amp").read_text() == f"BBBlyon {far}\n"
    assert (lab / "at" / "a").read_text() not in ("", "\n", "lyon\n")
    (archive,) = (far / "archive").glob("*.tar")
    listed = subprocess.run(["tar", "-Ptf", archive], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == [f"{far}/root/{name}.root" for name in ("a", "b")]
    assert stoker(lab, "store", "check").returncode == 0
