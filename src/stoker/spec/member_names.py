"""The names for members of a group in templates: each is the path of a file beside the scratch."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING

from stoker.spec.parts import Placeholder, command_texts, parse
from stoker.spec.values import Reference

if TYPE_CHECKING:
    from stoker.model.pipeline import Step
    from stoker.spec.values import Context

FOLDER = "lists"  # beside the scratch
ALL = "members"
VALUES = "values"


def file_of(scratch: str, name: str) -> str:
    """Return the path of the list that a name such as `members.quant.tpm` stands for."""
    suffix = ".jsonl" if name == ALL else ".csv" if name.endswith(f".{VALUES}") else ".txt"
    return os.path.join(os.path.dirname(scratch), FOLDER, name + suffix)


def reference_to(name: str) -> Reference:
    """Return what the name stands for in a command."""

    def get(context: Context) -> str:
        return file_of(context.scratch, name)

    return Reference(name, get, is_absolute=True, is_free=False)


def lists_used(step: Step) -> tuple[tuple[str, str], ...]:
    """Return the lists that a step's command names, as pairs of step and output (or `values`)."""
    found: dict[tuple[str, str], None] = {}
    for text in command_texts(step):
        for part in parse(text):
            words = part.name.split(".") if isinstance(part, Placeholder) else []
            if words[:1] == [ALL] and len(words) == 3:
                found[words[1], words[2]] = None
    return tuple(found)
