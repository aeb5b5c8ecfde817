"""A project whose store is on a server: only its `[store]` table differs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import servers

PASSWORD = "pa55:w/rd@x"
FILE = """
[store]
url = "{url}"
{more}

[pipelines.lines]
[pipelines.lines.steps.count]
run = "env >{{out.seen}}; cat /proc/$PPID/cmdline >>{{out.seen}}; wc -l <{{item}}"
outputs.seen = "seen/{{key}}"
[pipelines.lines.steps.after]
after = ["count"]
argv = ["true"]
"""


@pytest.fixture(
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS]
)
def url(request):
    """The URL of an empty database, for a user with a password."""
    return servers.server(request.param).with_password(PASSWORD)


def stoker(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("stoker"), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


def project(folder: Path, url: str, more: str = "") -> Path:
    folder.mkdir()
    (folder / "stoker.toml").write_text(FILE.format(url=url, more=more))
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("1\n2\n")
    return folder


def test_a_project_runs_with_its_store_on_a_server(url, tmp_path):
    folder = project(tmp_path / "lab", url.replace("PASSWORD", "${LAB_PASSWORD}"))
    secret = {"LAB_PASSWORD": PASSWORD}
    stoker(folder, "run", "lines", "a.txt", "b.txt", **secret)
    status = json.loads(stoker(folder, "status", "--json", **secret))
    assert status["pipelines"]["lines"]["tasks"]["done"] == 4
    assert len(stoker(folder, "attempts", "--json", **secret).splitlines()) == 4
    assert "a.txt" in stoker(folder, "show", "a.txt", **secret)
    stoker(folder, "logs", "a.txt", **secret)
    for path in folder.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), f"the password is in {path}"


def test_a_second_folder_with_the_same_file_is_the_same_project(url, tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    more = f'password_file = "{password}"'
    bare = url.replace(":PASSWORD", "")
    here = project(tmp_path / "here", bare, more)
    there = project(tmp_path / "there", bare, more)
    stoker(here, "push", "lines", "a.txt")
    stoker(there, "work", "--drain", "--slots", "1")
    status = json.loads(stoker(here, "status", "--json"))
    assert status["pipelines"]["lines"]["tasks"]["done"] == 2
