"""Names that a person need not type in full: parts of keys, globs, and what Tab offers."""

import os
import pty
import subprocess

import click
import pytest

from integration.cli.conftest import STOKER

KEYS = ["2024/run_001.txt", "2024/run_002.txt", "$(touch pwned).txt", "a b.txt", "[x].txt"]


@pytest.fixture
def known(lab):
    for key in KEYS:
        lab.write(f"data/{key}")
    lab("push", "count", "data")
    return lab


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("001", KEYS[0]), ("2024/*2.txt", KEYS[1]), ("pwned", KEYS[2]), ("a b", KEYS[3]),
        ("[x].txt", KEYS[4]),
    ],
)  # fmt: skip
def test_a_part_or_a_glob_names_the_only_item(known, name, key):
    done = known("why", name)
    assert done.out.startswith(f"{key}, step lines: ")
    assert (f"item `{key}` of `count`" in done.err) == (name != key)
    assert known("show", name, "--json").json["item"]["item"] == key


def test_a_name_that_several_items_fit_is_refused_with_some_of_them(known):
    done = known("show", "run_", code=2)
    assert f"`run_` is part of several keys: `{KEYS[0]}`, `{KEYS[1]}`; give more" in done.err
    assert "`2024/*` fits several keys" in known("logs", "2024/*", code=2).err
    for name in ("nothing", "", "*nothing*", "RUN_001"):
        assert "there is no item" in known("why", name, code=3).err
    assert "has no step `x`" in known("why", KEYS[0], "x", code=3).err


def test_long_keys_are_shortened_on_a_terminal_and_whole_in_a_pipe(known):
    long = "2024/" + "a-very-long-name-" * 5 + "{}.txt"
    names = [long.format(n) for n in range(2)]
    for name in names:
        known.write(f"data/{name}")
    known("push", "count", "data")
    assert all(name in known("tasks").out for name in names)
    ours, theirs = pty.openpty()
    os.set_inheritable(theirs, True)
    subprocess.run(["stty", "cols", "80"], stdin=theirs, check=True)
    with open(ours, "rb", buffering=0) as terminal:
        shown = subprocess.run(
            [STOKER, "tasks", "2024/a*"], cwd=known.folder, stdout=theirs, check=True
        )
        os.close(theirs)
        text = terminal.read(4096).decode()
    assert shown.returncode == 0
    lines = click.unstyle(text).splitlines()
    assert len(lines) == 5
    assert all(len(line) <= 80 for line in lines), text
    assert {line.split()[1][-6:] for line in lines[1:]} == {"-0.txt", "-1.txt"}


def tab(lab, line):
    """Return what Tab offers at the end of `line`, through the script that is installed."""
    script = lab("completion", "bash", "--print", HOME=str(lab.folder)).out
    words = line.split(" ")
    asked = f"""{script}
        COMP_WORDS=({" ".join(map("'{}'".format, words))}); COMP_CWORD={len(words) - 1}
        compopt() {{ :; }}
        _stoker_completion {STOKER}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", asked], cwd=lab.folder, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("stoker sta", ["status"]),
        ("stoker run co", ["count"]),
        ("stoker show 2024/", KEYS[:2]),
        ("stoker tasks --pipeline count --step ", ["lines", "text"]),
        ("stoker retry --state qu", ["quarantined"]),
        ("stoker hold 2024/run_001.txt 2024/", [KEYS[1]]),
        ("stoker show $", [""]),
        ("stoker show a", [""]),
    ],
)
def test_tab_offers_what_fits_and_nothing_that_a_shell_would_run(known, line, offered):
    assert tab(known, line) == offered


def test_tab_says_nothing_where_there_is_no_project(lab):
    (lab.folder / "stoker.toml").write_text("[pipelines")
    assert tab(lab, "stoker run co") == [""]
    assert not (lab.folder / ".stoker").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_once_and_replaces_nobody_s_file(lab, tmp_path, shell):
    home = {"HOME": str(tmp_path / "home"), "SHELL": f"/bin/{shell}", "XDG_DATA_HOME": ""}
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.zshrc").write_text("alias x=y")
    planned = lab("completion", "--dry-run", **home)
    assert "would write" in planned.err
    assert len(list((tmp_path / "home").iterdir())) == 1
    for _ in range(2):
        lab("completion", **home)
    (written,) = [
        path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.name[:4] != ".zsh"
        and path.name != ".bashrc"
    ]  # fmt: skip
    assert "_STOKER_COMPLETE" in written.read_text()
    if shell == "zsh":
        assert (tmp_path / "home/.zshrc").read_text() == f"alias x=y\nsource '{written}'\n"
    written.write_text("mine")
    assert "is not a file of Stoker" in lab("completion", code=4, **home).err
    assert written.read_text() == "mine"
