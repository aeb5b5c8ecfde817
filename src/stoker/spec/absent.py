"""Where `check` warns: a step uses what an earlier one leaves, and that one may be skipped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stoker.model.pipeline import Argv, Run, Verdict
from stoker.spec.parts import Placeholder, parse

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline, Step


def find_absences(pipeline: Pipeline, step: Step) -> list[str]:
    """Return a warning for each name in a step's command that is empty for some items, untested.

    A nested list in `argv` vanishes as a whole, and a `when` of the step's own may ask first.
    """
    skippable = {
        other.name
        for other in pipeline.steps
        if _may_be_skipped(other) and not _asks_first(step, other)
    }
    match step.action:
        case Run():
            used = _names(step.action.text)
            used -= _tested(step.action.text) if used else set()
            remedy = "test it (`[ -n {name} ]`), or give this step a `when`"
        case Argv():
            used = {
                name for word in step.action.words if isinstance(word, str) for name in _names(word)
            }
            remedy = "put it into a nested list, which vanishes then, or give this step a `when`"
        case _:
            return []
    return [
        f"`{{{name}}}` is empty where step `{name.split('.')[1]}` was skipped; "
        + remedy.replace("{name}", f"{{{name}}}")
        for name in sorted(used)
        if name.split(".")[1] in skippable
    ]


def _may_be_skipped(step: Step) -> bool:
    return step.when is not None or Verdict.SKIP in step.exits.values()


def _asks_first(step: Step, earlier: Step) -> bool:
    return step.when is not None and (
        step.when == earlier.when or f"values.{earlier.name}" in step.when
    )


def _names(text: str) -> set[str]:
    return {
        part.name
        for part in parse(text)
        if isinstance(part, Placeholder) and part.name.startswith("in.")
    }


def _tested(text: str) -> set[str]:
    """Return the names that stand in a `[ … ]`, `[[ … ]]` or `test` of a shell text."""
    from stoker.spec.placement import text_of, walk
    from stoker.spec.shell import PREFIX
    from stoker.spec.shell import parse as parse_shell

    parts = parse(text)
    words = (
        f"{PREFIX}{number}_" if isinstance(part, Placeholder) else part.text
        for number, part in enumerate(parts)
    )
    found: set[str] = set()
    for node in walk(parse_shell("".join(words).encode("utf-8", "surrogatepass"))):
        name = node.child_by_field_name("name") if node.type == "command" else None
        if node.type == "test_command" or (name is not None and text_of(name) == "test"):
            numbers = re.findall(rf"{PREFIX}(\d+)_", text_of(node))
            found |= {part.name for n in numbers if isinstance(part := parts[int(n)], Placeholder)}
    return found
