"""Whether the functions of `octave`, `matlab` and `r` steps are there, found without running anything."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.model.pipeline import Call, Language
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline, Step

_READ_BYTES = 1024 * 1024  # of a file with functions
_SEARCHED = ("OCTAVE_PATH", "MATLABPATH")  # variables that name further folders
_OF_M = re.compile(r"\s*(?:function|classdef)\b")
_HEAD_OF_M = re.compile(r"\s*function\s+(?:[^=\n(%#]*=\s*)?[\w.]+[ \t]*(?:\(([^)]*)\))?")
_OF_R = re.compile(
    r"^\s*[`\"']?([A-Za-z.][\w.]*)[`\"']?\s*(?:<<?-|=)\s*(?:function\b|\\)", re.MULTILINE
)
_BRINGS_MORE = re.compile(r"\b(?:source|assign|sys\.source|library|require|load)\s*\(")


def check_functions(pipeline: Pipeline) -> tuple[str, ...]:
    """Return a message for each step whose function of Octave, MATLAB or R is missing."""
    found = []
    for step in (one for one in pipeline.steps if one.site is None):
        if isinstance(step.action, Call):
            is_r = step.action.language is Language.R
            fault = (_fault_of_r if is_r else _fault_of_m)(pipeline.folder, step, step.action)
            if fault:
                found.append(f"step `{step.name}`: {fault}")
    return tuple(found)


def _fault_of_m(folder: str, step: Step, action: Call) -> str:
    """Return what is wrong with the file of a function of Octave or MATLAB."""
    file = Path(folder, f"{action.function}.m")
    if not file.is_file():
        may_be_elsewhere = step.prepare is not None or any(
            name in step.env or name in os.environ for name in _SEARCHED
        )
        return "" if may_be_elsewhere else _missing(file, [one.stem for one in _beside(file, ".m")])
    text = _read(file)
    if text is None:
        return f"`{file}` cannot be read"
    code = _without_comments(text)
    if _OF_M.match(code):
        return _wrong_arguments(file, code, action.function)
    return (
        f"`{file}` is a script, and a step calls a function; let it begin with "
        f"`function values = {action.function}(task)`"
    )


def _wrong_arguments(file: Path, code: str, function: str) -> str:
    """Return what is wrong with the arguments of the function that begins a file; a task is one."""
    head = _HEAD_OF_M.match(code.replace("...\n", " "))
    if head is None:
        return ""
    names = [name.strip() for name in (head[1] or "").split(",") if name.strip()]
    if len(names) == 1 or names[:1] == ["varargin"] or names[1:] == ["varargin"]:
        return ""
    takes = f"takes {len(names)} arguments" if names else "takes no argument"
    return (
        f"the function in `{file}` {takes}, and a step gives it one, the task: begin it with "
        f"`function values = {function}(task)`, and use `task.item` and `task.outputs.NAME`"
    )


def _without_comments(text: str) -> str:
    """Return a text of Octave or MATLAB from its first line that is no comment."""
    depth = 0
    lines = text.splitlines()
    for at, line in enumerate(lines):
        bare = line.strip()
        if bare in ("%{", "#{"):
            depth += 1
        elif bare in ("%}", "#}"):
            depth -= 1
        elif bare and depth <= 0 and bare[0] not in "%#":
            return "\n".join(lines[at:])
    return ""


def _fault_of_r(folder: str, _step: Step, action: Call) -> str:
    """Return what is wrong with the file of a function of R, or with the function."""
    name, _, function = action.function.rpartition(":")
    file = Path(folder, name)
    if not file.is_file():
        return _missing(file, [one.name for one in _beside(file, ".r")])
    text = _read(file)
    if text is None:
        return f"`{file}` cannot be read"
    names = _OF_R.findall(text)
    if (
        function in names
        or _BRINGS_MORE.search(text)
        or re.search(rf"\b{re.escape(function)}\b", text)
    ):
        return ""
    hint = suggest(function, names)
    return f"`{file}` has no function `{function}`" + (f"; {hint}" if hint else "")


def _missing(file: Path, others: list[str]) -> str:
    hint = suggest(file.name if file.suffix.lower() == ".r" else file.stem, others)
    return f"there is no `{file.name}` in `{file.parent}`" + (f"; {hint}" if hint else "")


def _beside(file: Path, suffix: str) -> list[Path]:
    try:
        return [one for one in sorted(file.parent.iterdir()) if one.suffix.lower() == suffix]
    except OSError:
        return []


def _read(file: Path) -> str | None:
    """Return the beginning of a file; None if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return None
