"""The frame of the command line: lazily loaded commands, options that all share, exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stoker import __version__, errors
from stoker.cli import main

NAMES = [
    "init",
    "check",
    "apply",
    "push",
    "plan",
    "adopt",
    "run",
    "up",
    "work",
    "status",
    "items",
    "tasks",
    "attempts",
    "show",
    "logs",
    "failures",
    "why",
    "values",
    "retry",
    "rerun",
    "cancel",
    "hold",
    "release",
    "priority",
    "verify",
    "shell",
    "which",
    "pool",
    "workers",
    "group",
    "batch",
    "site",
    "user",
    "token",
    "notify",
    "transfer",
    "volume",
    "prune",
    "store",
    "report",
    "doctor",
    "completion",
]
READING = [
    "status",
    "items",
    "tasks",
    "attempts",
    "show",
    "failures",
    "why",
    "which",
    "pool list",
    "workers",
    "batch list",
    "batch logs",
    "site list",
    "site show",
    "doctor",
    "check",
]
CHANGING = ["retry", "rerun", "cancel", "hold", "release", "priority"]
TAKING = ["apply", "push", "adopt", "run", "prune"]
OF_BATCH = [f"batch {verb}" for verb in ("try", "hold", "release", "cancel")]
OF_SITE = [f"site {verb}" for verb in ("hold", "release", "drop")]
SELECTING = ["items", "tasks", "attempts", "failures", *CHANGING]
STOKER = str(Path(sys.executable).with_name("stoker"))


def command(name):
    found = main.cli
    for word in name.split():
        found = found.get_command(click.Context(found), word)
        assert found is not None
    return found


def options(name):
    return {option for param in command(name).params for option in param.opts}


def test_all_commands_of_the_contract_are_there():
    assert main.cli.list_commands(click.Context(main.cli)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_is_the_commands_own(name):
    assert command(name).help.splitlines()[0] == main.COMMANDS[name].summary


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_does(name):
    for param in command(name).params:
        if isinstance(param, click.Option) and not param.hidden:
            assert param.help, param.name
    assert "--project" in options(name)


def test_options_are_the_same_everywhere():
    for name in READING:
        assert "--json" in options(name), name
    for name in [*CHANGING, *TAKING, "pool set", *OF_BATCH, *OF_SITE]:
        assert {"--dry-run", "--reason"} <= options(name), name
    selection = {"--pipeline", "--step", "--state", "--from-key", "--to-key", "--match", "--where"}
    for name in SELECTING:
        assert selection | {"--by", "keys"} <= options(name), name


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UserError("x"), 2),
        (errors.SpecError("x", ["line 1"]), 2),
        (errors.NotFound("x"), 3),
        (errors.VersionConflict("x"), 4),
        (errors.Unavailable("x"), 5),
        (errors.Refused("x"), 6),
        (errors.Bug("x"), 70),
        (ZeroDivisionError("x"), 70),
        (OSError(28, "No space left on device", "/x"), 5),
        (KeyboardInterrupt(), 130),
        (click.UsageError("x"), 2),
        (click.Abort(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_ends_with_its_code(monkeypatch, capsys, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    assert main.run(["status"]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err
    assert ("Traceback" in told.err) == (code == 70)


def test_a_reader_that_went_away_is_no_error(monkeypatch, tmp_path):
    done = subprocess.run(
        ["bash", "-c", f"{STOKER} --help | true"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_quick_because_little_is_loaded():
    code = (
        "import sys, stoker.cli.main as m\n"
        "assert m.run(['--version']) == 0\n"
        "slow = {'sqlalchemy', 'pydantic', 'rich', 'tree_sitter', 'asyncio'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stoker {__version__}\n"


def test_the_version_answers_in_a_tenth_of_a_second():
    def once():
        with subprocess.Popen([STOKER, "--version"], stdout=subprocess.DEVNULL) as process:
            _, ended, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(ended)
        assert process.returncode == 0
        return used.ru_utime + used.ru_stime

    # Its own time on a cpu, the least of several: what else the machine does is not the command's doing.
    assert min(once() for _ in range(15)) < 0.15


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        (["push", "p", "--priority", "1000001"], "-1000000<=x<=1000000"),
        (["push", "p", "--priority", "-9223372036854775808"], "-1000000<=x<=1000000"),
        (["work", "--slots", "10001"], "1<=x<=10000"),
        (["run", "--slots", "0"], "1<=x<=10000"),
        (["up", "--slots", "10001"], "1<=x<=10000"),
        (["plan", "p", "--slots", "10001"], "1<=x<=10000"),
        (["up", "--port", "65536"], "0<=x<=65535"),
        (["work", "--time-limit", "40000d"], "at most 36500d"),
        (["prune", "--older-than", "1e9999d"], "is not a time"),
        (["prune", "--older-than", "99999d"], "at most 36500d"),
    ],
)
def test_a_number_beyond_its_bound_is_refused_with_the_bound(arguments, bound):
    result = CliRunner().invoke(main.cli, arguments)
    assert (result.exit_code, bound in result.output) == (2, True), result.output


def test_the_help_lists_every_command_in_one_section():
    listed = [name for names in main.SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(main.COMMANDS)
    shown = CliRunner().invoke(main.cli, ["--help"]).output
    titles = ["First steps:", *(f"{title}:" for title in main.SECTIONS)]
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)
