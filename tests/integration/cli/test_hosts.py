"""A second host on one store: in a UTS namespace with another name, on a real PostgreSQL."""

import subprocess
import sys
from pathlib import Path

import pytest

import servers

STOKER = Path(sys.executable).with_name("stoker")
FILE = """
[store]
url = "{url}"

[pipelines.lines]
[pipelines.lines.steps.count]
run = "hostname; wc -l <{{item}} >{{out.n}}; head -c 20000 /dev/zero | tr '\\\\0' x >&2"
outputs.n = "{folder}/results/{{key}}"
"""


@pytest.fixture(scope="module")
def second_host():
    """How to run a command on a host called `second`."""
    command = ["unshare", "--uts", "sh", "-c", 'hostname second && exec "$@"', "sh"]
    done = subprocess.run([*command, "hostname"], capture_output=True, text=True, check=False)
    if done.stdout != "second\n":
        pytest.skip("no second host can be made here: it takes the right to make namespaces")
    return command


def stoker(folder, *arguments, on=(), code=0):
    done = subprocess.run(
        [*on, STOKER, *arguments], cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.postgresql
def test_a_second_host_joins_in_and_its_logs_say_where_they_are(tmp_path, second_host):
    url = servers.server("postgresql").new_database("hosts")
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "stoker.toml").write_text(FILE.format(url=url, folder=tmp_path))
    (here / "a.txt").write_text("1\n2\n")
    stoker(here, "push", "lines", "a.txt")
    stoker(there, "work", "--drain", on=second_host)
    assert "second" in stoker(here, "workers", "--all").stdout
    told = stoker(here, "logs", "a.txt")
    assert told.stdout.startswith("second\n"), "a short text is kept in the store"
    assert told.stdout.count("x") == 20_000, "a folder that both see is read"
    (there / ".stoker").rename(tmp_path / "out-of-sight")
    told = stoker(here, "logs", "a.txt", code=3)
    assert told.stdout == "second\n"
    assert f"what it wrote is on `second`, in `{there}/.stoker/logs/" in told.stderr
    assert "run `stoker logs` there" in told.stderr
    (tmp_path / "out-of-sight").rename(there / ".stoker")
    assert stoker(there, "logs", "a.txt", on=second_host).stdout.count("x") == 20_000

    told = stoker(here, "prune", "--older-than", "0s", "--what", "logs")
    assert "1 log file" in told.stdout
    assert not list(there.rglob("*.err"))
    assert "20,000 bytes, was forgotten" in stoker(here, "logs", "a.txt").stderr
