"""How a verb's keywords become a selection."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from stoker.model.item import key_from_name
from stoker.model.selection import Selection
from stoker.spec.problems import suggest


class StepNarrowing(TypedDict, total=False):
    """The keywords that narrow a verb on one pipeline, as the command line's options."""

    step: str | Sequence[str]
    state: str | Sequence[str]
    from_key: str | None
    to_key: str | None
    match: str | None
    where: str | None
    by: str | None


class Narrowing(StepNarrowing, total=False):
    """The keywords that narrow a verb, as the command line's options of the same names."""

    pipeline: str | None


def select(keys: Sequence[str], selection: Selection | None, narrow: Narrowing) -> Selection:
    """Return `selection` if there is one, else what keys and keywords say.

    TypeError for both together.
    """
    check_keywords(narrow, Narrowing)
    if selection is not None:
        if keys or any(value is not None for value in narrow.values()):
            raise TypeError("a selection says everything; give it alone, or keys and keywords")
        return selection
    return Selection(
        keys=tuple(key_from_name(key) for key in keys),
        pipeline=narrow.get("pipeline"),
        steps=_several(narrow.get("step", ())),
        states=_several(narrow.get("state", ())),
        from_key=_as_key(narrow.get("from_key")),
        to_key=_as_key(narrow.get("to_key")),
        match=narrow.get("match"),
        where=narrow.get("where"),
        by=narrow.get("by"),
    )


def check_keywords(given: Mapping[str, object], known: type[Narrowing]) -> None:
    """Raise TypeError for a keyword that does not exist: it would narrow nothing, and select all."""
    for name in given:
        if name not in known.__annotations__:
            raise TypeError(f"there is no keyword `{name}`; {suggest(name, known.__annotations__)}")


def _as_key(name: str | None) -> str | None:
    return None if name is None else key_from_name(name)


def _several(words: str | Sequence[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)
