"""What clients are told of the future of their jobs, and progress that never falls."""

import pytest
from sqlalchemy import update

from integration.web.inside import inside
from stoker.model.worker import NewWorker
from stoker.store import tables
from stoker.web import foresight, pulse
from stoker.web.foresight import Foresight
from stoker.work.store_link import StoreLink

JSON, HTML = ({"accept": kind} for kind in ("application/json", "text/html"))


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setattr(foresight, "OUTLOOK_S", -1)
    monkeypatch.setattr(foresight, "USUAL_S", -1)
    monkeypatch.setattr(pulse, "BEAT_S", 0)
    with inside(tmp_path) as found:
        monkeypatch.setattr("stoker.web.site.KEPT_S", -1)
        yield found


def submit(client, n):
    found = [client.post("/processes/open/execution", json={"inputs": {}}) for _ in range(n)]
    return [one.json()["jobID"] for one in found]


def change(lab, table, **values):
    with lab.project.store.writing() as unit:
        unit.execute(update(table).values(**values))


def begin(lab):
    """A worker, which claims the first job."""
    link = StoreLink(lab.project.store)
    new = NewWorker(
        name="w", host="host", pid=1, slots=1, cpus=1, memory_bytes=1 << 33, scratch="/scratch",
        boot_id="boot", lease_s=60, tags=(),
    )  # fmt: skip
    return link.claim(link.enlist(new), limit=1, cpus_free=1).tasks[0]


def test_a_job_that_waits_says_where_in_the_queue_it_is_and_when_it_may_end(lab):
    client = lab.client()
    keys = submit(client, 3)
    assert client.get(f"/jobs/{keys[2]}", headers=JSON).json()["queuePosition"] == 3
    page = client.get(f"/jobs/{keys[2]}", headers=HTML).text
    assert "2 are before it." in page
    assert "It is next." in client.get(f"/jobs/{keys[0]}", headers=HTML).text
    begin(lab)
    change(lab, tables.task, expected_ms=600_000)
    status = client.get(f"/jobs/{keys[2]}", headers=JSON).json()
    assert status["queuePosition"] == 2
    assert status["estimatedCompletion"] > status["created"]
    assert "30 min left" in client.get(f"/jobs/{keys[2]}", headers=HTML).text
    assert "queuePosition" not in client.get(f"/jobs/{keys[0]}", headers=JSON).json()


def test_a_process_says_how_many_wait_and_how_long_one_takes(lab):
    client = lab.client()
    submit(client, 2)
    lab.project.status()  # counts
    found = client.get("/processes/open", headers=JSON).json()
    assert found["jobsWaiting"] == 2
    assert "expectedDuration" not in found
    assert "2 jobs wait" in client.get("/processes/open", headers=HTML).text
    assert "2 jobs wait" in client.get("/", headers=HTML).text


def test_progress_never_falls_whatever_is_learned_and_whoever_asks(lab):
    client, viewer = lab.client(), lab.client(token=lab.token("viewer"))
    (key,) = submit(client, 1)
    task = begin(lab)
    change(lab, tables.task, expected_ms=1_000_000)
    change(lab, tables.attempt, claimed_us=task.claimed_us - 500_000_000)
    first = client.get(f"/jobs/{key}", headers=JSON).json()["progress"]
    assert first in (50, 51)
    change(lab, tables.task, expected_ms=100_000_000)  # it was much too little
    assert client.get(f"/jobs/{key}", headers=JSON).json()["progress"] == first
    lab.site.foresight = Foresight(lab.project.jobs, lab.site.call)  # as in another process
    assert client.get(f"/jobs/{key}", headers=JSON).json()["progress"] == first
    change(lab, tables.attempt, claimed_us=task.claimed_us - 70_000_000_000)
    (listed,) = viewer.get("/jobs", headers=JSON).json()["jobs"]
    assert listed["progress"] > first
    change(lab, tables.attempt, claimed_us=task.claimed_us)
    assert client.get(f"/jobs/{key}", headers=JSON).json()["progress"] == listed["progress"]
