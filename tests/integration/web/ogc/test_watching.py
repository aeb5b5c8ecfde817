"""What operators watch: health, counts for Prometheus, the log of requests, the unit for systemd."""

import json
import re
import shutil
import stat
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from integration.web.conftest import LAB, STOKER, wait_until
from integration.web.ogc.conftest import EXAMPLE


def samples(echo):
    found = echo.get("/metrics", headers={"accept": "*/*"})
    assert found.status_code == 200, found.text
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(found.text)
        for one in family.samples
    }


def test_metrics_count_what_happens(echo):
    ends = ("stoker_attempts_total", "echo", "succeeded", "echo")

    def counted():
        """What has happened until now is counted: what others of these tests submitted, too."""
        jobs = echo.get("/jobs?limit=10000&status=successful").json()["jobs"]
        done = sum(one["processID"] == "echo" for one in jobs)
        return done == samples(echo).get(("stoker_items", "echo", "done"), 0)

    echo.done()
    wait_until(counted, dump=lambda: samples(echo))
    before = samples(echo)
    echo.done()
    echo.done()
    wait_until(counted, dump=lambda: samples(echo))
    now = samples(echo)
    assert now[ends] - before[ends] == 2
    assert now["stoker_items", "echo", "done"] - before["stoker_items", "echo", "done"] == 2
    assert now["stoker_attempt_duration_seconds_count", "echo", "echo"] >= 2
    assert now["stoker_slots",] == 4
    assert now["stoker_workers", "alive"] == 1


def test_the_dashboard_shows_what_is_counted(echo):
    """Names and labels of the example for Grafana are those of `/metrics`."""
    text = echo.get("/metrics", headers={"accept": "*/*"}).text
    known = set(re.findall(r"# TYPE (\w+) ", text))
    shown = json.loads((EXAMPLE.parent / "grafana" / "dashboard.json").read_text())
    exprs = [target["expr"] for panel in shown["panels"] for target in panel["targets"]]
    used = {
        name.removesuffix("_bucket") for one in exprs for name in re.findall(r"stoker_\w+", one)
    }
    assert used == {name for name in known if not name.endswith("_created")}


def test_health_needs_no_credentials(lab):
    found = lab.get("/healthz")
    assert (found.status_code, found.json()) == (200, {"status": "ok"})


def test_the_log_of_requests_has_no_secret(echo):
    address = echo.submit()
    echo.get(f"{address}?f=json")
    echo.get("/jobs", headers={"authorization": "Bearer stk_" + "s" * 43})
    key = address.rpartition("/")[2]
    file = echo.folder / ".stoker" / "logs" / "web.jsonl"

    def lines():
        return [json.loads(line) for line in file.read_text().splitlines()]

    wait_until(lambda: any(one["path"] == f"/jobs/{key[:6]}…" for one in lines()))
    text = file.read_text()
    assert key not in text
    assert "ssss" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    path = "/processes/echo/execution"  # others' tests were refused there, too
    posts = [one for one in lines() if (one["method"], one["path"]) == ("POST", path)]
    one = next(one for one in posts if one["status"] in (200, 201))
    assert one["address"] == "127.0.0.1"
    assert one["elapsed_ms"] > 0


def test_a_unit_for_systemd(tmp_path):
    folder = tmp_path / 'a "b" $HOME %h'
    folder.mkdir()
    (folder / "stoker.toml").write_text(LAB)
    words = [STOKER, "--project", folder, "up", "--port", "0", "--slots", "3", "--systemd"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f'"{tmp_path}/a \\"b\\" $$HOME %%h/stoker.toml" up --host 127.0.0.1 --port 0' in text
    assert "--slots 3" in text
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    unit = tmp_path / "stoker-lab.service"
    unit.write_text(text)
    ended = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    ours = [line for line in ended.stderr.splitlines() if "stoker-lab" in line]
    assert not [line for line in ours if "is not executable" not in line], ended.stderr
