"""The satellite example on a real Slurm, at a tenth of its size: what `make demo-slurm` runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import servers
from batch import slurm

pytestmark = [pytest.mark.slurm, pytest.mark.mariadb, pytest.mark.slow]


@pytest.mark.timeout(240)
def test_pilots_flag_the_days_though_one_is_killed():
    slurm.require()
    servers.require("mariadb")
    if shutil.which("octave") is None:
        servers.unavailable("no octave is installed: the satellite example was not tested")
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("satellite.py"),
            "--every",
            "10",
            "--seconds",
            "0.3",
        ],
        env={name: value for name, value in os.environ.items() if name != "SLURM_CONF"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=220,
    )
    assert done.returncode == 0, done.stdout
    printed = done.stdout
    assert "registered 35 items" in printed
    assert "kill -9 of pilot" in printed
    assert "22  flag  no calibration limits for this day" in printed
    assert "23 tasks ready again" in printed
    assert "calflags: 35 items (35 done)" in printed
    assert "year: 2 items (2 done)" in printed
    listed = printed.partition("$ stoker batch list --all")[2].partition("\n$ ")[0]
    assert sum(" lost " in line for line in listed.splitlines()) == 1
    assert "failed" not in listed.replace("·  failed", "")
    checked = printed.rpartition("$ stoker store check")[2].strip().splitlines()
    assert checked
    assert all(line.startswith("ok") for line in checked)
