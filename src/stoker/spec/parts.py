"""Templates as parts: plain text and names in braces (rule T), without what the names mean."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.pipeline import Argv, Persistent, Run, Warm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.model.pipeline import Pipeline, Step

_OUTPUT_WORDS = 3  # of `in.STEP.NAME`; values have one more
_NAME = r"[A-Za-z_]\w*(?:\.\w+)*(?::[^{}\n]{1,8})?"
_PLACEHOLDER = re.compile(
    rf"\$\{{+|\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<name>{_NAME})\}}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that stays as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A name in braces; `separator` joins a list. `offset` counts characters in the template."""

    name: str
    separator: str | None
    offset: int


@functools.lru_cache(maxsize=1024)  # keys of groups are made from one template, 100,000 times
def parse(text: str) -> tuple[Literal | Placeholder, ...]:
    """Return the parts of a template in order; nothing is ever wrong with a template's form."""
    parts: list[Literal | Placeholder] = []
    plain: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        plain.append(text[end : found.start()])
        end = found.end()
        if found["name"] is None:
            plain.append(f"{{{found['literal']}}}" if found["literal"] else found.group())
            continue
        if any(plain):
            parts.append(Literal("".join(plain)))
        plain = []
        name, colon, separator = found["name"].partition(":")
        parts.append(Placeholder(name, separator if colon else None, found.start()))
    plain.append(text[end:])
    if any(plain):
        parts.append(Literal("".join(plain)))
    return tuple(parts)


def predecessors(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the steps that `{in.STEP.…}` refers to in these templates, in order, each once."""
    found: dict[str, None] = {}
    for text in texts:
        for part in parse(text):
            if isinstance(part, Placeholder) and part.name.startswith("in."):
                found[part.name.split(".")[1]] = None
    return tuple(found)


def outputs_used(step: Step) -> dict[str, frozenset[str]]:
    """Return the outputs that `{in.STEP.NAME}` refers to in the step's templates, by earlier step."""
    found: dict[str, set[str]] = {}
    for text in step_texts(step):
        for part in parse(text):
            words = part.name.split(".") if isinstance(part, Placeholder) else []
            if len(words) == _OUTPUT_WORDS and words[0] == "in":
                found.setdefault(words[1], set()).add(words[2])
    return {name: frozenset(outputs) for name, outputs in found.items()}


def step_texts(step: Step) -> list[str]:
    """Return all templates of a step."""
    return [*command_texts(step), *(output.to for output in step.outputs)]


def command_texts(step: Step) -> list[str]:
    """Return the templates of a step's command and of its environment."""
    texts = list(step.env.values())
    if isinstance(step.action, Run):
        texts.append(step.action.text)
    elif isinstance(step.action, Persistent):
        texts.extend(step.action.program)
    elif isinstance(step.action, Argv):
        for word in step.action.words:
            texts.extend([word] if isinstance(word, str) else word)
    return texts


def inputs_used(step: Step) -> tuple[tuple[str, str], ...]:
    """Return which outputs of earlier steps the step's command names, as pairs of step and output."""
    found: dict[tuple[str, str], None] = {}
    for text in command_texts(step):
        for part in parse(text):
            names = part.name.split(".") if isinstance(part, Placeholder) else ()
            if len(names) == 3 and names[0] == "in":
                found[names[1], names[2]] = None
    return tuple(found)


def files_used(pipeline: Pipeline, step: Step) -> tuple[str, ...]:
    """Return which files of an item the step's command names: `item`, and parts as `meta.r1`.

    A shell text or a command uses the item where it holds `{item}` or `STOKER_ITEM`. What a function
    or a persistent program opens is not known: it is taken to use the item if no step comes before
    its own.
    """
    if isinstance(step.action, Warm):
        return () if step.after else ("item",)
    of_parts = {f"meta.{part}" for source in pipeline.sources for part in source.parts}
    texts = command_texts(step)
    found = {"item"} if any("STOKER_ITEM" in text for text in texts) else set()
    for text in texts:
        found |= {part.name for part in parse(text) if isinstance(part, Placeholder)}
    return tuple(sorted(found & {"item", *of_parts}))
