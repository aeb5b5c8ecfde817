"""Which values of an item's parameters stand, when several people and sources name the same item.

Who says nothing about a parameter changes nothing about it: a folder, a list or a bare `push` leaves
what a person set or a table says. A table or document that says the same as before leaves what a
person has set since; one that says something new is the latest word.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import xxhash

_MARK = 17  # characters of a mark of parameters

Said = Mapping[str, Sequence[Any]]
"""Of the parameters that have a value by somebody: nothing where a table or document has it, and where
a person set it, the one value that would be there otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What comes with an item about its parameters.

    `settings` are those that a person sets, each with the value that it would have otherwise;
    `columns` are those of a table or document, and `values` those of them that are not left empty.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: Collection[str] = ()
    values: Collection[str] = ()


NOTHING = Saying()


def merged(
    params: Mapping[str, Any],
    saying: Saying,
    *,
    known_params: Mapping[str, Any],
    known_said: Said,
) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
    """Return the parameters that stand, and what is to be remembered of who said them.

    `params` come now, with what is said about them; the others are known of the item.
    """
    stand: dict[str, Any] = {}
    said: dict[str, Sequence[Any]] = {}
    for name, value in params.items():
        known = known_said.get(name)
        stand[name] = value
        if name in saying.settings:
            otherwise = saying.settings[name] if known is None else known_params.get(name)
            said[name] = known or [otherwise]
        elif known is not None and (
            name not in saying.columns or (len(known) > 0 and known[0] == value)
        ):
            stand[name], said[name] = known_params.get(name, value), known
        elif name in saying.values:
            said[name] = []
    return stand, said


def mark_of(params: Mapping[str, Any], said: Said | None = None) -> str:
    """Return what distinguishes these parameters from others, without what a person set; nothing for none.

    So an item has the same mark whether or not a source says nothing of what a person has set.
    """
    if not params:
        return ""
    of_person = {name: one[0] for name, one in (said or {}).items() if one}
    text = json.dumps({**params, **of_person}, sort_keys=True, separators=(",", ":"))
    return f":{xxhash.xxh3_64_hexdigest(text.encode())}"


def has_content(fingerprint: str, content: str) -> bool:
    """Whether a fingerprint is of this content, with whatever mark of parameters after it."""
    mark = fingerprint.removeprefix(content)
    return fingerprint.startswith(content) and (not mark or (mark[0] == ":" and len(mark) == _MARK))
