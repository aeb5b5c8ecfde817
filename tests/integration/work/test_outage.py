"""The store is away for a while: each loop beside the worker waits, says so once, and goes on."""

import logging
from itertools import count

import pytest

from integration.work.rig import wait_until
from stoker import daemon
from stoker.errors import Unavailable
from stoker.project import open_project
from stoker.project.services import intake, janitor, taking
from stoker.project.services.service import running
from stoker.store import journal_fold
from stoker.store.claims import claim
from stoker.work import patience

STEP = '[pipelines.p.steps.s]\nargv = ["/bin/true"]'


@pytest.fixture
def away(monkeypatch):
    """Make a function of a module find no store, the first few times that it is called."""

    def make(module, name, times):
        real, calls = getattr(module, name), count(1)

        def call(*args, **more):
            if next(calls) <= times:
                raise Unavailable("the store does not answer")
            return real(*args, **more)

        monkeypatch.setattr(module, name, call)

    return make


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "PAUSE_MOST_S", 0.01)


def warnings(caplog):
    return [one.message for one in caplog.records if one.levelno >= logging.WARNING]


def test_the_janitor_says_once_that_it_has_to_wait_and_ends_in_order(rig, away, caplog):
    rig.write(STEP)
    away(journal_fold, "fold", 3)
    ticks = []
    tidy = janitor.Janitor(
        rig.store,
        scratch_root=str(rig.folder / "s"),
        tick_s=0.01,
        also=lambda: ticks.append(1),
    )
    with running([tidy], on_failure=pytest.fail):
        wait_until(tidy.health, "it says why it waits")
        wait_until(lambda: ticks, "it tidies again")
        assert tidy.health() is None
        away(janitor, "remove_temporary", 1_000)
    assert set(warnings(caplog)) == {"housekeeping has to wait"}
    assert len(warnings(caplog)) == 2, "one for each outage"


def test_a_changed_file_is_taken_over_once_the_store_is_back(tmp_path, away):
    file = tmp_path / "stoker.toml"
    file.write_text(f'[project]\nname = "rig"\n[pipelines.p]\nitems = "records"\n{STEP}\n')
    taken = []
    with open_project(tmp_path) as project:
        project.follow_file()
        watch = daemon.FileWatch(project, then=lambda: taken.append(1))
        file.write_text(file.read_text() + '[pipelines.p.steps.t]\nargv = ["/bin/true"]\n')
        away(daemon.FileWatch, "_take_over", 2)
        for _ in range(2):
            with pytest.raises(Unavailable):
                watch.look()
        watch.look()
        watch.look()
        assert taken == [1]
        assert set(project.status().pipelines["p"].steps) == {"s", "t"}


def test_the_intake_waits_for_the_store_and_says_so_once(rig, away, caplog, monkeypatch):
    starts = []

    def words(code):
        starts.append(code)
        return ["/bin/sh", "-c", f"exit {code}" if code else "echo; read line"]

    codes = iter([5, 5, 5])
    monkeypatch.setattr(intake, "_command", lambda _file: words(next(codes, 0)))
    taken = []
    following = intake.Intake("file", on_taken=lambda: taken.append(1))
    with running([following], on_failure=pytest.fail):
        wait_until(lambda: taken, "it takes in")
    assert starts == [5, 5, 5, 0]
    assert len(warnings(caplog)) == 1
    assert "the store does not answer" in warnings(caplog)[0]


def test_the_intake_is_tried_again_where_no_process_can_be_started(away, caplog, monkeypatch):
    monkeypatch.setattr(intake, "_command", lambda _file: ["/no/such/program"])
    following = intake.Intake("file", on_taken=list)
    with running([following], on_failure=pytest.fail):
        wait_until(lambda: warnings(caplog), "it is said")
        assert "cannot be started" in following.health()
    assert "cannot be started" in warnings(caplog)[0]


def test_the_process_of_the_intake_ends_without_a_traceback(away, monkeypatch, capsys):
    away(taking, "open_project", 1)
    monkeypatch.setattr("sys.argv", ["taking", "file"])
    assert taking.main() == Unavailable.exit_code
    assert capsys.readouterr() == ("", "")


def test_a_store_that_goes_away_behind_a_claim_does_not_end_the_worker(rig, away):
    rig.write(STEP)
    rig.push("k", "l")
    away(claim, "pipeline_of", 1)
    assert rig.work().done == 2
    assert set(rig.task_states().values()) == {"done"}
