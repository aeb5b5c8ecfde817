"""The page for the outside world: its lines of cron and of `authorized_keys` do what the guide says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import sshd
import stoker
from docs.test_tutorial import ROOT

PAGE = (ROOT / "docs" / "howto" / "report.md").read_text("utf-8")
TOML = """
[project]
name = "lab"
[pipelines.p]
items = "records"
steps.s.run = "true"
"""


def test_a_closed_site_sends_its_page_out_and_a_broken_one_replaces_nothing(tmp_path):
    for name in ("sshd", "www", "lab", "bin"):
        (tmp_path / name).mkdir()
    lab, www = tmp_path / "lab", tmp_path / "www"
    (lab / "stoker.toml").write_text(TOML)
    with stoker.open(lab) as project:
        project.push("p", ["first"])
        project.run()
    cron = re.search(r"^\*/10 \* \* \* \* (.*)$", PAGE, re.MULTILINE)[1]
    assert "%" not in cron, "cron makes a new line of it"
    cron = cron.replace("/lab/project", str(lab)).replace("/srv/www", str(www))
    allowed = re.search(r'^command="(.*)",restrict ssh-ed25519', PAGE, re.MULTILINE)[1]
    allowed = allowed.replace("/srv/www", str(www))
    with sshd.Sshd(tmp_path / "sshd") as host:
        (tmp_path / "bin" / "ssh").write_text(
            f'#!/bin/sh\nexec /usr/bin/ssh -F {host.config} "$@"\n'
        )
        (tmp_path / "bin" / "ssh").chmod(0o755)
        path = f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"

        def run(command):
            words = ["sh", "-c", command]
            return subprocess.run(
                words, env={"PATH": path, "HOME": str(tmp_path)}, check=False, timeout=60
            ).returncode

        assert run(cron) == 0
        first = (www / "lab.html").read_text("utf-8")
        assert "1 of 1 item done" in first
        key = (host.folder / "id.pub").read_text()
        (host.folder / "authorized_keys").write_text(f'command="{allowed}",restrict {key}')
        with stoker.open(lab) as project:
            project.push("p", ["second"])
        assert run(cron) == 0, "the key with one command is enough"
        second = (www / "lab.html").read_text("utf-8")
        assert "1 of 2 items done" in second
        assert run("ssh www.example.org 'touch /tmp/other' < /dev/null") != 0
        assert run(f"head -c 3000 {www}/lab.html | ssh www.example.org anything") != 0
        (lab / ".stoker" / "stoker.db").write_text("this is no store")
        assert run(cron) != 0
        assert (www / "lab.html").read_text("utf-8") == second, "half a page replaces nothing"
