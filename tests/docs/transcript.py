"""Reads a page of the documentation as what a newcomer would do: files to write, commands to type.

In the page:

- a ``console`` block holds commands after `$ ` (continued by a backslash at the end of a line) and,
  below each, what it prints: every line shown must come, in this order; `…` stands for anything;
- a ``code-block`` with a caption that is a path is a file to write there; `PATH (at the end)` appends;
- a comment `% test: skip` or `% test: exit 1` before a block says that its commands are not run, or
  that its last one ends with that code.
"""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^(?P<fence>```+)(?P<info>.*)$")
_CAPTION = re.compile(r"^:caption: (?P<path>\S+)(?P<end> \(at the end\))?$")
_MARK = re.compile(r"^% test: (?:(?P<skip>skip)|exit (?P<code>\d+))$")


@dataclass
class Write:
    """A file that the reader is told to write."""

    path: str
    text: str
    appends: bool = False


@dataclass
class Command:
    """A command that the reader is told to type, what it shows, and how it ends."""

    text: str
    shown: list[str] = field(default_factory=list)
    exit_code: int = 0


Action = Write | Command


def read(page: str) -> list[Action]:
    """Return what the page tells its reader to do, in order."""
    actions: list[Action] = []
    for mark, info, lines in _blocks(page):
        if info == "console" and not (mark and mark["skip"]):
            commands = list(_commands(lines))
            if mark and commands:
                commands[-1].exit_code = int(mark["code"])
            actions += commands
        elif info.startswith("{code-block}") and (caption := _CAPTION.match(lines[0])):
            body = "\n".join(lines[1:]).strip("\n") + "\n"
            actions.append(Write(caption["path"], body, bool(caption["end"])))
    return actions


def perform(
    actions: list[Action],
    folder: Path,
    environment: dict[str, str],
    shell: Sequence[str] = ("bash", "-c"),
) -> list[str]:
    """Do it all in `folder`, in one shell; return what came otherwise than the page says."""
    script = [_shell(action, number, folder) for number, action in enumerate(actions)]
    ended = subprocess.run(
        [*shell, "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    problems = []
    for number, action in enumerate(actions):
        if isinstance(action, Command):
            found = re.search(rf"<<{number}\n(.*?)\n{number}:(\d+)>>", ended.stdout, re.DOTALL)
            problems += (
                _compare(action, *found.groups()) if found else [f"`{action.text}`: not run"]
            )
    return problems


def _blocks(page: str) -> Iterator[tuple[re.Match[str] | None, str, list[str]]]:
    mark, info, fence = None, None, ""
    lines: list[str] = []
    for line in page.splitlines():
        found = _FENCE.match(line)
        if info is None and found:
            info, fence, lines = found["info"].split(" ")[0], found["fence"], []
        elif info is not None and line.strip() == fence:
            yield mark, info, lines or [""]
            mark, info = None, None
        elif info is not None:
            lines.append(line)
        elif line.strip():
            mark = _MARK.match(line)


def _commands(lines: list[str]) -> Iterator[Command]:
    command: Command | None = None
    for line in lines:
        if command and command.text.endswith("\\") and not command.shown:
            command.text += "\n" + line
        elif line.startswith("$ "):
            if command:
                yield command
            command = Command(line.removeprefix("$ "))
        elif command and line.strip():
            command.shown.append(line)
    if command:
        yield command


def _shell(action: Action, number: int, folder: Path) -> str:
    if isinstance(action, Write):
        operator = ">>" if action.appends else ">"
        return f"cat {operator} '{folder}/{action.path}' <<'END-OF-FILE'\n{action.text}END-OF-FILE"
    return f"echo '<<{number}'\n{action.text}\nprintf '\\n{number}:%d>>\\n' $?"


def _compare(command: Command, output: str, code: str) -> list[str]:
    problems = []
    if int(code) != command.exit_code:
        problems.append(f"`{command.text}`: exit code {code}, not {command.exit_code}:\n{output}")
    lines = [" ".join(line.split()) for line in output.splitlines()]
    for shown in command.shown:
        parts = [re.escape(part) for part in " ".join(shown.split()).split("…")]
        pattern = re.compile(".*".join(part.replace(r"\ ", r"\s*") for part in parts))
        while lines and not pattern.search(lines[0]):
            lines.pop(0)
        if not lines:
            problems.append(f"`{command.text}`: `{shown}` does not come in:\n{output}")
            break
    return problems
