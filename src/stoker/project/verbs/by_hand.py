"""The command of a step as bash text, for people: also of one that a warm process serves."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from stoker.model.pipeline import Argv, Call, Persistent, Python, Run
from stoker.model.task import Claimed

if TYPE_CHECKING:
    from stoker.model.pipeline import Action


def script_of(
    action: "Action",
    argv: Sequence[str],
    folder: str,
    claimed: Claimed,
    *,
    outputs: Mapping[str, str],
    scratch: str,
) -> str:
    """Return bash text that does one attempt; `argv` is the command, where there is one."""
    match action:
        case Run() | Argv():
            return shlex.join(argv)
        case Python():
            return _python_script(action, folder, claimed, outputs, scratch)
        case Call():
            return _call_script(action, folder, claimed, outputs, scratch)
        case Persistent():
            return _program_script(argv, folder, claimed, outputs, scratch)
        case _:
            assert_never(action)


def _call_script(
    action: Call, folder: str, claimed: Claimed, made: Mapping[str, str], scratch: str
) -> str:
    """Return bash text that has our helper do one task: the values are printed."""
    from stoker.work.lines import line_for_helper
    from stoker.work.warm_key import helper_environment, program_of
    from stoker.work.warm_process import task_fields

    file = os.path.join(os.path.dirname(scratch), "task.json")
    fields = task_fields(claimed, outputs=made, scratch=scratch)
    line = line_for_helper({"function": action.function, **fields})
    settings = {"STOKER_TASK": file, **helper_environment(folder)}
    words = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    return (
        f"printf '%s\\n' {shlex.quote(line)} > {shlex.quote(file)}\n"
        f"{words} {shlex.join(program_of(action, once=True))}"
    )


def _program_script(
    argv: Sequence[str], folder: str, claimed: Claimed, made: Mapping[str, str], scratch: str
) -> str:
    """Return bash text that gives a persistent program one task: its answer is printed."""
    from stoker.work.warm_process import task_fields

    line = json.dumps(task_fields(claimed, outputs=made, scratch=scratch))
    command = f"cd {shlex.quote(folder)} && {shlex.join(argv)}"
    return f"printf '%s\\n' {shlex.quote(line)} | ({command})"


def _python_script(
    action: Python, folder: str, claimed: Claimed, made: Mapping[str, str], scratch: str
) -> str:
    """Return bash text that calls a step's function as a warm process would."""
    module, _, function = action.function.partition(":")
    inputs = ", ".join(
        f"{step!r}: {{{', '.join(f'{name!r}: {_as_paths(paths)}' for name, paths in of.items())}}}"
        for step, produced in claimed.produced.items()
        for of in [produced.outputs]
    )
    outputs = ", ".join(f"{name!r}: {_as_paths([path])}" for name, path in made.items())
    item = "None" if claimed.path is None else _as_paths([claimed.path])
    values = {step: dict(produced.values) for step, produced in claimed.produced.items()}
    text = "\n".join(
        (
            "import json, os, sys",
            "from pathlib import Path",
            "from types import SimpleNamespace",
            f"sys.path.insert(0, {folder!r})",
            f"import {module}",
            "listed = os.environ.get('STOKER_MEMBERS')",
            "task = SimpleNamespace(",
            f"    item={item}, key={claimed.key!r},",
            f"    params={dict(claimed.params)!r}, meta={dict(claimed.meta)!r},",
            f"    inputs={{{inputs}}}, values={values!r},",
            f"    outputs={{{outputs}}}, scratch={_as_paths([scratch])},",
            "    members=[json.loads(one) for one in open(listed)] if listed else [],",
            ")",
            f"print({module}.{function}(task))",
        )
    )
    return shlex.join([action.interpreter or "python3", "-c", text])


def _as_paths(paths: Sequence[str]) -> str:
    """Return Python text for what a function gets: one path, or a list of several."""
    made = [f"Path({path!r})" for path in paths]
    return made[0] if len(made) == 1 else f"[{', '.join(made)}]"
