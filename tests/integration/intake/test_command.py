"""A command that prints names, as a source: real commands, their failures, and what they leave."""

import os
import threading
import time

import pytest

from stoker.intake.sources import command
from stoker.intake.sources.command import CommandSource
from stoker.intake.sources.source import Mark, Over, Refusal
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.source import Command


@pytest.fixture
def over():
    made = Over()
    yield made
    made.close()


def look(text, *, folder="/", items=ItemKind.RECORDS, timeout_s=60.0, over=None):
    """The keys, the refusals and the trouble."""
    pipeline = Pipeline(name="line", folder=str(folder), steps=(), items=items)
    asked = Command(text=text, timeout_s=timeout_s)
    source = CommandSource(pipeline, "new", asked, project_folder=str(folder), over=over)
    finds = list(source.look({}))
    assert isinstance(finds[-1], Mark)
    keys = [find.key for find in finds if not isinstance(find, Mark | Refusal)]
    refused = [find.message for find in finds if isinstance(find, Refusal)]
    return keys, refused, source.standing.trouble


def wait_until_gone(file):
    """Wait for the end of the process whose id the file holds; a dead one that nobody reaps counts."""
    pid = file.read_text().strip()
    until_s = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}/cwd"):
        assert time.monotonic() < until_s, f"process {pid} is left"
        time.sleep(0.01)


def test_each_line_is_an_item():
    assert look("printf 'a b\\n\\nc\\n'; echo noise >&2; printf last") == (
        ["a b", "c", "last"],
        [],
        None,
    )


def test_names_may_end_with_nul_where_all_are_paths(tmp_path):
    for name in ("a\nb.dat", "c.dat"):
        (tmp_path / name).write_text("x")
    text = "find . -type f -print0 | sort -z"
    assert look(text, folder=tmp_path, items=ItemKind.FILES)[0] == ["a%0Ab.dat", "c.dat"]


def test_output_in_another_encoding_is_trouble_and_takes_nothing():
    keys, refused, trouble = look("printf '/data/a\\n' | iconv -t UTF-16LE")
    assert (keys, refused) == ([], [])
    assert "has NUL characters" in trouble


def test_paths_are_relative_to_the_file_of_the_pipeline(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("a.dat", "b.dat"):
        (tmp_path / "raw" / name).write_text("x")
    text = "find raw -type f | sort; echo raw/c.dat"
    keys, refused, trouble = look(text, folder=tmp_path, items=ItemKind.FILES)
    assert keys == ["raw/a.dat", "raw/b.dat"]
    assert trouble is None
    (message,) = refused
    assert message.startswith(f"`{text}`, line 3: ")
    assert "c.dat` is not there" in message


def test_whole_lines_of_a_command_that_fails_are_taken():
    keys, _, trouble = look("echo a; printf half; echo 'disk is gone' >&2; exit 3")
    assert keys == ["a"]
    assert trouble.endswith("ended with exit code 3: disk is gone")


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("echo $nowhere", "unbound variable"),
        ("false | true", "exit code 1"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("for n in $(seq 5000); do echo $n; done >&2; exit 1", "…"),
    ],
    ids=["unset", "pipe", "killed", "talkative"],
)
def test_every_failure_is_told(text, trouble):
    found = look(text)[2]
    assert trouble in found
    assert len(found) < 1_000


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_GRACE_S", 0.1)
    text = "sleep 600 & echo $! > new; mv new pid; trap '' TERM; wait; sleep 600"
    _, _, trouble = look(text, folder=tmp_path, timeout_s=2.0)
    assert trouble.endswith("did not end within 2 s and was stopped")
    if (tmp_path / "pid").exists():  # it came so far, unless this machine is very busy
        wait_until_gone(tmp_path / "pid")


def test_what_a_command_leaves_in_its_session_ends_with_it(tmp_path):
    assert look("sleep 600 & echo $! > pid; echo a", folder=tmp_path)[0] == ["a"]
    wait_until_gone(tmp_path / "pid")


def test_a_command_ends_when_stoker_stops(tmp_path, over):
    os.mkfifo(tmp_path / "began")
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            look("echo a; echo > began; sleep 600", folder=tmp_path, timeout_s=3600.0, over=over)
        )
    )
    thread.start()
    (tmp_path / "began").read_bytes()
    over.set()
    thread.join(60)
    ((keys, _, trouble),) = found
    assert keys == ["a"]
    assert trouble.endswith("was stopped, as Stoker stops")


def test_a_folder_that_is_gone_is_told(tmp_path):
    assert "cannot be run" in look("echo a", folder=tmp_path / "gone")[2]
