"""Where `check` looks for what a step starts: its programs, and files beside `stoker.toml`.

A step starts in a scratch folder of its own, where none of the project's files is. Both are looked
for on this host only; workers may run elsewhere, so that nothing here is an error.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from stoker.model.pipeline import Argv, Persistent, Run
from stoker.spec.interpreters import without_front
from stoker.spec.placement import first_doubt, text_of, walk
from stoker.spec.shell import PREFIX, parse, stand_in
from stoker.spec.template import Compiler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stoker.model.pipeline import Pipeline, Step

_COMMANDS = ("command", "declaration_command", "unset_command")
_BUILTINS = frozenset(
    [
        ".",
        ":",
        "[",
        "alias",
        "bg",
        "bind",
        "break",
        "builtin",
        "caller",
        "cd",
        "command",
        "compgen",
        "complete",
        "compopt",
        "continue",
        "declare",
        "dirs",
        "disown",
        "echo",
        "enable",
        "eval",
        "exec",
        "exit",
        "export",
        "false",
        "fc",
        "fg",
        "getopts",
        "hash",
        "help",
        "history",
        "jobs",
        "kill",
        "let",
        "local",
        "logout",
        "mapfile",
        "popd",
        "printf",
        "pushd",
        "pwd",
        "read",
        "readarray",
        "readonly",
        "return",
        "set",
        "shift",
        "shopt",
        "source",
        "suspend",
        "test",
        "times",
        "trap",
        "true",
        "type",
        "typeset",
        "ulimit",
        "umask",
        "unalias",
        "unset",
        "wait",
    ]
)
# After one of these a program may be anywhere: they change PATH, or define functions.
_OPEN = re.compile(r"\b(module|ml|source|eval|conda|mamba|micromamba|spack|PATH)\b|(^|[;&|\s])\.\s")
_PLAIN = re.compile(r"[A-Za-z0-9_./+:@,-]+")
_VALUE = re.compile(rf"{PREFIX}(\d+)_")
_PROJECT = re.compile(r"^\{project\}/")


def find_program_doubts(
    pipeline: Pipeline, step: Step, *, interpreter: str | None = None
) -> Iterator[str]:
    """Yield what the step starts and this host does not have, and files that it looks for in vain.

    `interpreter` is the program that calls the step's function, in a language other than Python.
    """
    if step.site is not None:
        return  # it is looked for there, when it runs
    commands: list[Sequence[str]] = []
    if isinstance(step.action, Argv | Persistent):
        given = step.action.words if isinstance(step.action, Argv) else step.action.program
        words = [word for word in given if isinstance(word, str)]
        commands = [words] if words and "{" not in words[0].replace("{project}", "") else []
        names = [words[0] for words in commands]
    elif isinstance(step.action, Run):
        commands = list(_commands(pipeline, step, step.action.text))
        names = ["bash", *(words[0] for words in commands)]
    elif interpreter is not None:
        names = [interpreter]
    else:
        return
    is_open = bool(step.prepare) or "PATH" in step.env
    is_open |= isinstance(step.action, Run) and _OPEN.search(step.action.text) is not None
    text = step.action.text if isinstance(step.action, Run) else ""
    for name in filter(None, dict.fromkeys(names)):
        if text.count(os.path.basename(name)) < 2 or "/" not in name:  # else the text may make it
            yield from _of_program(name, pipeline.project_folder, is_open=is_open)
    if isinstance(step.action, Persistent):
        return  # it starts in the folder of the file that declares it
    for word in dict.fromkeys(word for words in commands for word in words):
        yield from _beside(word, pipeline.project_folder)


def _of_program(name: str, project: str, *, is_open: bool) -> Iterator[str]:
    path = _PROJECT.sub(lambda _: f"{project}/", name)
    if os.path.isabs(path):
        if not os.path.exists(path):
            yield f"there is no program `{name}` on this host"
        elif not os.access(path, os.X_OK):
            yield f"`{name}` is not executable; `chmod +x {path}`, or name its interpreter first"
    elif "/" in name:
        if not _is_beside(name, project):
            own = f"`{{project}}/{name.removeprefix('./')}`"
            yield (
                f"`{name}` is looked for in the attempt's own scratch folder, which begins empty; for a "
                f"file beside `stoker.toml` write {own}"
            )
    elif not is_open and shutil.which(name) is None:
        yield f"there is no program `{name}` on this host's PATH"


def _beside(word: str, project: str) -> Iterator[str]:
    """Yield the remedy if the word names a file of the project as seen from the project's folder."""
    if _is_beside(word, project):
        path = os.path.normpath(word)
        yield (
            f"`{word}` is beside `stoker.toml`, and the step starts in a scratch folder of its own; "
            f"write `{{project}}/{path}`"
        )


def _is_beside(word: str, project: str) -> bool:
    is_file_like = "/" in word or "." in word
    if not is_file_like or word.startswith(("/", "-", "..")) or not _PLAIN.fullmatch(word):
        return False
    return os.path.isfile(os.path.join(project, word))


def _commands(pipeline: Pipeline, step: Step, text: str) -> Iterator[Sequence[str]]:
    """Yield the words of each command of a shell text, without those that hold values.

    The first is the program, unless that is bash's own, a function, or not known.
    """
    parts = Compiler(pipeline, step).text(("run",), text).parts
    slots = [part for part in parts if not isinstance(part, str)]
    root = parse(stand_in(parts)[0])
    if first_doubt(root) is not None:
        return
    functions = {
        text_of(name)
        for node in walk(root)
        if node.type == "function_definition" and (name := node.child_by_field_name("name"))
    }

    def shown(found: re.Match[str]) -> str:
        name = slots[int(found[1])].reference.name
        return "{project}" if name == "project" else found[0]

    for node in walk(root):
        if node.type not in _COMMANDS:
            continue
        words = [
            _VALUE.sub(shown, text_of(child).strip("\"'"))
            for child in node.named_children
            if child.type != "variable_assignment" and not child.type.endswith("_redirect")
        ]
        words = words[without_front(words) :]
        is_own = not words or words[0] in _BUILTINS or words[0] in functions
        program = [] if is_own or not _is_known(words[0]) else words[:1]
        yield [*(program or [""]), *filter(_is_known, words[1:])]


def _is_known(word: str) -> bool:
    return PREFIX not in word and _PLAIN.fullmatch(word.replace("{project}", "")) is not None
