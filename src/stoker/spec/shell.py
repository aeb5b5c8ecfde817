"""Shell texts: where each value stands in a `run`, found with the grammar of bash.

A value is never spliced into the text. It is given to bash as a positional argument, taken into a
variable by a first line that we write, and the text gets a reference to that variable, quoted as
its place needs. So a wrong guess about a place could at worst split a word. Bash itself runs the
content of a variable in some constructs; `spec.evaluation` says what values may contain there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.spec.placement import find_place, first_doubt
from stoker.spec.places import Form, Misplaced, Placed, Spot
from stoker.spec.values import Arity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tree_sitter import Node, Parser

    from stoker.spec.values import Context, Slot

PREFIX = "__stoker_"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a value cannot stand where it stands; `offset` is that of its placeholder."""

    offset: int
    message: str
    hint: str
    is_doubt: bool = False  # nothing is known to be wrong, but nothing is certain either


@dataclass(frozen=True, slots=True)
class Script:
    """A shell text in which every value is a variable.

    Its arguments are the `scalars`, then for each of `lists` the number of its words and the words.
    `prelude` takes them apart; `body` is the author's text with references to the variables.
    """

    prelude: str
    body: str
    scalars: tuple[Callable[[Context], str], ...]
    lists: tuple[Slot, ...]
    troubles: tuple[Trouble, ...]

    @property
    def text(self) -> str:
        """What bash is given."""
        return self.prelude + self.body

    @property
    def values(self) -> int:
        """How many values it takes."""
        return len(self.scalars) + len(self.lists)


def place_values(parts: Sequence[str | Slot]) -> Script:
    """Return the script for a compiled `run` text; its `troubles` say what cannot be done."""
    slots = [part for part in parts if not isinstance(part, str)]
    literal = "".join(part for part in parts if isinstance(part, str))
    if not slots:
        return Script("", literal, (), (), ())
    if PREFIX in literal:
        hint = "name it differently"
        message = f"variables that begin with `{PREFIX}` are Stoker's own"
        return Script("", literal, (), (), (Trouble(slots[0].offset, message, hint),))
    text, spots = stand_in(parts)
    root = parse(text)
    broken = first_doubt(root)
    if broken is not None:
        readable = text.decode("utf-8", "surrogatepass")
        return Script("", readable, (), (), (_unreadable(broken, slots),))
    places: list[Placed] = []
    troubles: list[Trouble] = []
    for slot, spot in zip(slots, spots, strict=True):
        try:
            places.append(find_place(root, spot))
        except Misplaced as misplaced:
            places.append(Placed(Form.WORD))
            troubles.append(Trouble(slot.offset, misplaced.message, misplaced.hint))
    return _assemble(parts, places, troubles)


def stand_in(parts: Sequence[str | Slot]) -> tuple[bytes, list[Spot]]:
    """Return the text with a plain word for each placeholder, and where those words are."""
    text = b""
    spots: list[Spot] = []
    for part in parts:
        if isinstance(part, str):
            text += part.encode("utf-8", "surrogatepass")
            continue
        word = f"{PREFIX}{len(spots)}_".encode()
        joined = part.separator is not None
        spots.append(
            Spot(
                start=len(text),
                end=len(text) + len(word),
                name=part.reference.name,
                arity=Arity.ONE if joined else part.reference.arity,
                is_integer=part.reference.is_integer and not joined,
            )
        )
        text += word
    return text, spots


def _unreadable(broken: Node, slots: Sequence[Slot]) -> Trouble:
    line = broken.start_point[0] + 1
    return Trouble(
        slots[0].offset,
        f"the grammar of bash stumbles over line {line} of the text, so that it is not certain how "
        "the values stand in it",
        "write that line differently, or take values from the environment there "
        "(`$STOKER_KEY`, `$STOKER_PARAM_…`)",
        is_doubt=True,
    )


_REFERENCES = {
    Form.WORD: '"${{{0}}}"',
    Form.INNER: "${{{0}}}",
    Form.WORDS: '${{{0}[@]+"${{{0}[@]}}"}}',
    Form.NUMBER: "{0}",
}


def _assemble(
    parts: Sequence[str | Slot], places: Sequence[Placed], troubles: list[Trouble]
) -> Script:
    """Return the script: a first part that takes the arguments apart, then the text."""
    scalars: dict[tuple[str, str | None, bool, bool], str] = {}
    lists: dict[str, tuple[str, Slot]] = {}
    getters: list[Callable[[Context], str]] = []
    body = ""
    remaining = iter(places)
    for part in parts:
        if isinstance(part, str):
            body += part
            continue
        place = next(remaining)
        if place.form is Form.WORDS:
            fresh = (f"{PREFIX}list_{len(lists) + 1}", part)
            variable = lists.setdefault(part.reference.name, fresh)[0]
        else:
            known = (part.reference.name, part.separator, place.is_operand, part.begins_path)
            if known not in scalars:
                scalars[known] = f"{PREFIX}{len(scalars) + 1}"
                getters.append(_integer(part) if place.is_operand else part.text)
            variable = scalars[known]
        body += _REFERENCES[place.form].format(variable)
    prelude = _prelude(list(scalars.values()), [variable for variable, _ in lists.values()])
    slots = tuple(slot for _, slot in lists.values())
    return Script(prelude, body, tuple(getters), slots, tuple(troubles))


def _prelude(scalars: Sequence[str], lists: Sequence[str]) -> str:
    """Return the line that turns positional arguments into variables.

    It has no line break of its own, so that the numbers of lines in bash's messages are those of
    the author's text.
    """
    taken = [f"{variable}=${{{number}}}" for number, variable in enumerate(scalars, 1)]
    prelude = f"{' '.join(taken)}; shift {len(scalars)}; " if taken else ""
    for variable in lists:
        prelude += f'{variable}=("${{@:2:$1}}"); shift "$(($1+1))"; '
    return prelude


def _integer(slot: Slot) -> Callable[[Context], str]:
    def get(context: Context) -> str:
        text = slot.text(context)
        if not re.fullmatch(r"-?[0-9]+", text):
            name = slot.reference.name
            raise UserError(
                f"`{{{name}}}` is used where bash calculates, and is not an integer: {text!r}"
            )
        return text

    return get


# `${x:$n}`, `${x: -$n}` and `${x:0:$n}`, over which the grammar stumbles.
_OFFSET = re.compile(rb"(\$\{[\w@]+(?:\[[^\]\n]*\])?:(?:[^}:\n\"'$]*:)? ?)(-?\$)(?=\w)")


def parse(text: bytes) -> Node:
    """Return the syntax tree of a shell text, in which an offset `$n` appears as a plain name."""
    plain = _OFFSET.sub(lambda found: found[1] + b"_" * len(found[2]), text)
    return _parser().parse(plain).root_node


def _parser() -> Parser:
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


def find_syntax_error(script: str) -> tuple[int, str] | None:
    """Return line and message of bash's own complaint about a text.

    None if there is none, or no bash to ask. Nothing of the text is run. A complaint about the end
    of the text is one about its last line.
    """
    import subprocess

    try:
        done = subprocess.run(
            ["bash", "-n", "-c", script, "stoker"],
            capture_output=True,
            check=False,
            env={"LC_ALL": "C", "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    complaint = done.stderr.decode("utf-8", "replace").strip()
    found = re.search(r"line (\d+): (.*)", complaint)
    if found is None:
        return None if done.returncode == 0 else (1, complaint)
    return min(int(found[1]), script.rstrip().count("\n") + 1), found[2]
