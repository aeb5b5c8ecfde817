"""The tutorial works: its files are written and its commands typed, as a newcomer would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import transcript
from docs.transcript import Command, Write

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-pipeline.md"


def environment(home):
    kept = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "HOME": str(home), "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.mark.parametrize("page", ["first-pipeline.md", "instrument.md"])
def test_the_tutorial_does_what_it_says(tmp_path, page):
    actions = transcript.read((TUTORIAL.parent / page).read_text(encoding="utf-8"))
    assert sum(isinstance(action, Command) for action in actions) >= 10
    problems = transcript.perform(actions, tmp_path, environment(tmp_path))
    assert not problems, "\n\n".join(problems)


PAGE = """
% test: skip
```console
$ never
```

Text.

```console
$ echo one \\
  two
one two
$ cd sub
```

```{code-block} toml
:caption: sub/a.toml

x = 1
```

% test: exit 3
```console
$ cat a.toml; exit_with() { return 3; }; exit_with
x = …
```
"""


def test_a_page_is_read_as_files_and_commands():
    assert transcript.read(PAGE) == [
        Command("echo one \\\n  two", ["one two"]),
        Command("cd sub"),
        Write("sub/a.toml", "x = 1\n"),
        Command("cat a.toml; exit_with() { return 3; }; exit_with", ["x = …"], 3),
    ]


def test_a_page_that_tells_the_truth_has_no_problems(tmp_path):
    (tmp_path / "sub").mkdir()
    assert transcript.perform(transcript.read(PAGE), tmp_path, environment(tmp_path)) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (Command("false"), "exit code 1, not 0"),
        (Command("true", exit_code=2), "exit code 0, not 2"),
        (Command("echo one", ["two"]), "`two` does not come"),
        (Command("printf 'a\\nb\\n'", ["b", "a"]), "`a` does not come"),
        (Command("exit 1"), "not run"),
    ],
    ids=[
        "fails",
        "should_fail",
        "prints_something_else",
        "prints_in_another_order",
        "ends_the_shell",
    ],
)
def test_a_page_that_is_wrong_is_found(tmp_path, command, problem):
    (found,) = transcript.perform([command], tmp_path, environment(tmp_path))
    assert problem in found


def test_the_notebook_goes_on_where_the_tutorial_ended(tmp_path):
    page = (ROOT / "docs" / "howto" / "notebook.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    transcript.perform(
        transcript.read(TUTORIAL.read_text(encoding="utf-8")), tmp_path, environment(tmp_path)
    )
    checks = (
        "assert sorted(means.values()) == [14.3, 17.5, 25.1]\n"
        "assert len(attempts) == 3 and str(attempts['started_at'].dt.tz) == 'UTC'\n"
        "assert made.item.endswith('oslo.csv')\n"
        "project.close()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}\n{checks}"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
