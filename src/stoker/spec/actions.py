"""What a step does: from its keys `run`, `argv`, `python`, `octave`, `matlab` and `r` to an action."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.model.pipeline import Argv, Call, Language, Persistent, Python, Run
from stoker.spec.locations import absolute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Action
    from stoker.spec.locate import Path
    from stoker.spec.pipeline_keys import PipelineTable
    from stoker.spec.step_keys import StepTable
    from stoker.spec.validate import Findings

LANGUAGES = tuple(language.value for language in Language)
CALLS = ("python", *LANGUAGES)  # a function in a warm process
ACTIONS = ("run", "argv", *CALLS)


def build_action(path: Path, table: StepTable, findings: Findings, *, folder: str) -> Action:
    """Return the action of the step at `path`, with what is wrong about its keys reported."""
    given = [key for key in ACTIONS if getattr(table, key) is not None]
    if len(given) > 1:
        message = f"step `{path[-1]}` has {' and '.join(f'`{key}`' for key in given)}"
        findings.add((*path, given[1]), message, "keep one of them")
    kind = given[0] if given else "run"
    if given:
        _check_companions(path, table, kind, findings)
    if kind == "argv":
        return _argv(path, table, findings, folder)
    if kind == "run":
        if table.run is not None and not table.run.strip():
            findings.add((*path, "run"), "`run` is empty")
        return Run(text=table.run or ":")
    interpreter = table.interpreter
    if interpreter is not None and "/" in interpreter:
        interpreter = absolute(interpreter, folder)
    function = getattr(table, kind)
    if kind == "python":
        return Python(function=function, interpreter=interpreter)
    return Call(language=Language(kind), function=function, interpreter=interpreter)


def _argv(path: Path, table: StepTable, findings: Findings, folder: str) -> Argv | Persistent:
    words: tuple[str | tuple[str, ...], ...]
    words = tuple(w if isinstance(w, str) else tuple(w) for w in table.argv or [])
    if words[0] == "" and not findings.has((*path, "argv")):
        findings.add((*path, "argv", 0), "the program's name is empty")
    if not table.persistent:
        return Argv(words=words)
    for at, word in enumerate(words):
        if not isinstance(word, str):
            message = "a nested list vanishes for some items, and a `persistent` program serves all"
            findings.add((*path, "argv", at), message, "write its words without the inner brackets")
    program = [word for word in words if isinstance(word, str)] or [""]
    if "/" in program[0] and not program[0].startswith("{"):
        program[0] = absolute(program[0], folder)
    return Persistent(program=tuple(program))


def _check_companions(path: Path, table: StepTable, kind: str, findings: Findings) -> None:
    """Report keys of the step itself that mean something for another kind of step only."""
    if table.persistent and kind != "argv":
        hint = "take it out" if kind in CALLS else 'write the command as `argv = ["…"]`'
        why = "its process stays anyway" if kind in CALLS else "a shell text ends with its task"
        findings.add((*path, "persistent"), f"`persistent` is for `argv`; {why}", hint)
    if kind not in CALLS and findings.is_at((*path, "interpreter")):
        message = f"`interpreter` says nothing about a step with `{kind}`"
        findings.add((*path, "interpreter"), message, "name the program in the command itself")


def check_interpreters(
    path: Path, table: PipelineTable, raw: Mapping[str, object], findings: Findings
) -> None:
    """Report an `interpreter` in `defaults` that steps of two languages would have."""
    if table.defaults.interpreter is None:
        return
    languages: dict[str, str] = {}
    for name, step in table.steps.items():
        own = raw.get(name)
        kinds = [key for key in CALLS if getattr(step, key) is not None]
        if kinds and not (isinstance(own, dict) and "interpreter" in own):
            languages.setdefault(kinds[0], name)
    if len(languages) > 1:
        named = " and ".join(f"`{name}` ({kind})" for kind, name in languages.items())
        message = f"`interpreter` in `defaults` holds for {named}, which no one program can call"
        findings.add((*path, "defaults", "interpreter"), message, "write it into the steps")
