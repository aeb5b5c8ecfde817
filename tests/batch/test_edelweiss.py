"""The example of two sites, at a tenth of its size: what `make demo-edelweiss` runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batch import edelweiss, slurm

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
COMMAND = re.compile(r"(?m)^\$ (.*)$")


@pytest.mark.timeout(240)
def test_files_go_to_a_centre_without_services_though_the_line_is_cut():
    slurm.require()
    edelweiss.require()
    words = ["--runs", "2", "--files", "2", "--seconds", "0.3", "--every", "2s"]
    done = subprocess.run(
        [sys.executable, Path(edelweiss.__file__), *words],
        env={name: value for name, value in os.environ.items() if name != "SLURM_CONF"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout
    printed = parts(done.stdout)
    silent = printed["stoker site list"][0]
    assert "no whole visit for" in silent
    failures = printed["stoker failures"][0]
    assert "2  proc1  Nobody has written down which detector is on which channel" in failures
    (asked,) = (text for command, text in printed.items() if command.endswith("--dry-run"))
    assert "2 tasks would be ready again" in asked[0]
    assert "runs: 6 items (6 done)" in printed["stoker status"][1]
    assert "spectrum: 3 items (3 done)" in printed["stoker status"][1]
    assert "; 0 out; " in printed["stoker site list"][1]
    assert "no answer" in done.stdout.partition("nobody at the centre")[2]
    archived = printed["ssh cca 'tar -Ptf /srv/edw/archive/*.tar' | sort"][0]
    assert len(re.findall(r"^/srv/edw/root/sl29\w+\.root$", archived, re.MULTILINE)) == 6
    assert "left at the centre: 0 files" in done.stdout
    checked = printed["stoker store check"][0].strip().splitlines()
    assert checked
    assert all(line.startswith("ok") for line in checked)


def parts(printed):
    """What was printed below each command, in order."""
    found = {}
    _, *rest = COMMAND.split(printed)
    for command, text in zip(rest[::2], rest[1::2], strict=True):
        found.setdefault(command, []).append(text)
    return found
