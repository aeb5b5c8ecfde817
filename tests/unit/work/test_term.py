"""How long a worker may go on, and what a batch system says of it."""

import os
import time

import pytest

from stoker.errors import UserError
from stoker.work import scheduler, signals, term
from stoker.work.stopping import patience
from stoker.work.term import Term


@pytest.mark.parametrize(
    ("length_s", "kept_s"), [(1, 0.5), (5, 2), (40, 2), (600, 30), (14_400, 60), (864_000, 60)]
)
def test_a_part_of_a_term_is_kept_for_its_end(length_s, kept_s):
    one = Term.of(length_s, began_s=0.0)
    assert one.stops_s == length_s - kept_s
    assert one.half_s == one.stops_s / 2


def test_a_term_has_bounds():
    with pytest.raises(UserError, match="time_limit_s"):
        Term.of(-1)


def test_the_first_end_counts():
    one, other = Term(0, 10), Term(5, 8)
    assert term.first_to_end(one, None, other) == other
    assert term.first_to_end(None) is None


def test_a_process_began_before_now():
    began_s = term.process_began_s(os.getpid())
    assert 0 <= time.monotonic() - began_s < 3600
    assert began_s <= term.process_began_s(999_999_999)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1-02:03:04", 93_784),
        ("2:03:04", 7384),
        ("03:04", 184),
        ("59", 59),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
        ("-5", None),
        ("9" * 40, None),
    ],
)
def test_times_are_read_as_batch_systems_write_them(text, seconds):
    assert scheduler.seconds(text) == seconds


@pytest.mark.parametrize(
    ("notice_s", "patience_s", "grace_s"),
    [(None, 10, 5), (30, 10, 5), (15, 5, 5), (5, 0, 2.5), (60, 10, 5), (0, 0, 0)],
)
def test_patience_is_over_before_the_kill(notice_s, patience_s, grace_s):
    assert patience(notice_s) == (patience_s, grace_s)
    assert notice_s is None or sum(patience(notice_s)) <= max(notice_s, 0)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs of a batch system by name, each a text for the shell."""

    def make(**texts):
        for name, text in texts.items():
            file = tmp_path / name
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return dict(os.environ)

    return make


SLURM = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1"}
SGE = {"JOB_ID": "48", "SGE_O_HOST": "login", "QUEUE": "main.q"}


def test_slurm_says_what_is_left_and_how_long_it_waits_before_it_kills(programs):
    env = programs(squeue="echo 1:00", scontrol="echo 'KillWait                = 30 sec'")
    now_s = time.monotonic()
    job = scheduler.ask(env | SLURM, now_s - 10)
    assert job.term is not None
    assert job.term.began_s == now_s - 10
    assert 59 < job.term.ends_s - now_s < 63
    assert (job.notice_s, job.is_last_word) == (30, False)


def test_grid_engine_has_its_limits_in_the_request_or_in_the_queue(programs):
    env = programs(
        qstat="echo 'hard resource_list:         s_rt=50,h_rt=60'",
        qconf="printf 'notify                00:00:05\\nh_rt                  24:00:00\\n'",
    )
    job = scheduler.ask(env | SGE, 100.0)
    assert job == scheduler.Job(Term(100.0, 160.0), 5, is_last_word=True)


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"squeue": "exit 1", "scontrol": "exit 1"},
        {"squeue": "echo INVALID", "scontrol": "echo what"},
        {"squeue": "printf '\\377\\376'", "scontrol": "head -c 100000 /dev/zero"},
        {"squeue": "sleep 60", "scontrol": "exec sleep 60"},
    ],
    ids=["absent", "failing", "words", "bytes", "silent"],
)
def test_what_a_batch_system_does_not_say_is_not_known(programs, monkeypatch, texts):
    monkeypatch.setattr(scheduler, "ASK_S", 0.3)
    env = programs(**texts)
    if not texts:
        env["PATH"] = "/nowhere"
        monkeypatch.setenv("PATH", "/nowhere")
    began_s = time.monotonic()
    assert scheduler.ask(env | SLURM, 0.0) == scheduler.Job()
    assert time.monotonic() - began_s < 3


def test_outside_of_jobs_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(scheduler, "_answers", lambda *_: pytest.fail("asked"))
    assert scheduler.ask({"SLURM_JOB_ID": "7", "JOB_ID": "3"}, 0.0) == scheduler.Job()


def test_a_warning_that_comes_before_the_worker_is_kept(monkeypatch):
    monkeypatch.setattr(signals, "early", [])
    signals.note_early(10, None)
    assert signals.early == [10]
