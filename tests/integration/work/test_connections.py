"""How many connections a worker has to its store's server while its attempts run."""

import os
import time

import psycopg
import pytest

import servers
from stoker import daemon
from stoker import open as open_project
from stoker.work.progress import Event

SLURM = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_CONF": "/nowhere/slurm.conf"}
FILE = """
[store]
url = "{url}"
[pipelines.p]
items = "records"
[pipelines.p.steps.s]
run = "sleep 0.5; echo > {{out.o}}"
outputs.o = "results/{{key}}"
"""


@pytest.mark.postgresql
def test_a_worker_in_a_batch_job_holds_two(tmp_path, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    server = servers.server("postgresql")
    url = server.new_database("connections")
    (tmp_path / "stoker.toml").write_text(FILE.format(url=url))
    seen: list[int] = []
    look_s = 0.0

    def count(event: Event) -> None:
        nonlocal look_s
        if event.running and time.monotonic() > look_s:
            look_s = time.monotonic() + 0.1
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'connections'"
            with psycopg.connect(server.url("postgres").replace("+psycopg", "")) as asking:
                seen.append(asking.execute(query).fetchone()[0])

    with open_project(tmp_path) as project:
        project.apply()
        project.push("p", [f"k{n}" for n in range(12)])
        summary = daemon.work(project, slots=2, drain=True, on_event=count)
    assert summary.done == 12
    assert len(seen) > 5
    seen.sort()
    assert seen[len(seen) // 2] <= 2, seen  # a third is there while an output is published
    assert seen[-1] <= 4, seen
    assert "SLURM_JOB_ID" in os.environ
