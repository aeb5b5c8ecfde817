"""Where `check` warns: a value may become code, a name, or an option of the command that gets it.

Nothing here keeps an attempt from running. The rules look at one command at a time, by its words.
Where a word is known to be run as code, a `$x` in it counts as a value too. What they know of other
programs stands in `spec.interpreters`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.pipeline import Argv, ItemKind, ParamType, Run
from stoker.spec.interpreters import (
    NO_OPTIONS,
    code_positions,
    is_argument_of_code,
    reads_code,
    without_front,
)
from stoker.spec.placement import first_doubt, text_of, walk
from stoker.spec.shell import PREFIX, parse, stand_in
from stoker.spec.template import Compiler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node

    from stoker.model.pipeline import Param, Pipeline, Step
    from stoker.spec.values import Slot

_RUN_BY_BASH = ("eval", "trap", "alias")  # their words are code
_NAMES_A_FILE = ("source", ".")  # the file is code
_DECLARES = ("declare", "typeset", "local", "readonly")
_TAKES_NAMES = ("read", "unset", "getopts", "mapfile", "readarray")
_TAKES_VALUE = re.compile(r"-\w*[pdtnNui]")  # options of `read` with a word that is not a name
_VALUE = re.compile(rf"{PREFIX}(\d+)_")
_EXPANSION = re.compile(r"\$(?:[A-Za-z_0-9@*]|\{)")
_COMMANDS = ("command", "declaration_command", "unset_command")
_REDIRECTS = ("file_redirect", "heredoc_redirect", "herestring_redirect")
_FEEDS = ("pipeline", "redirected_statement", "heredoc_redirect")
_SUBSTITUTIONS = ("command_substitution", "process_substitution")
_LONG_OPTION = re.compile(r"--\w[\w-]*")
# A pattern whose every match begins with a letter, a digit or `_`.
_TAME_PATTERN = re.compile(r"(?:\\[dw]|\w|\[(?:\w-\w|\w)+\])(?![*?|]|\{0)[^|]*")


@dataclass(frozen=True, slots=True)
class Caution:
    """What may go wrong with a value; `line` counts, from 1, in the text of the step's command."""

    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line} of `run`: "
        return where + self.message


class _Command:
    """A command as plain words: quotes are gone, and a value is `PREFIX` with its number."""

    def __init__(self, words: Sequence[str], slots: Sequence[Slot], loose: frozenset[int]) -> None:
        self.words = list(words)
        self._slots = slots
        self._loose = loose  # the values that may begin with `-`

    def cautions(self, functions: frozenset[str]) -> Iterator[str]:
        """Yield what may go wrong."""
        start = without_front(self.words)
        name, arguments = self.words[start].lstrip("\\"), self.words[start + 1 :]
        told = set()
        if any(self._slots[int(number)].reference.is_free for number in _VALUE.findall(name)):
            yield f"{self._show(name)} names the command that is run; write its name into the text"
        for at, reason in (*self._by_bash(name, arguments), *self._by_programs()):
            told.add(at)
            yield reason
        yield from self._doubled_folders()
        if name in NO_OPTIONS or name in functions:
            return
        yield from self._options(start, told)

    def _doubled_folders(self) -> Iterator[str]:
        """Yield the absolute paths that stand behind a folder, as in `raw/{item}`."""
        for word in self.words:
            for found in _VALUE.finditer(word):
                value = self._slots[int(found[1])]
                if value.reference.is_absolute and word[: found.start()].endswith("/"):
                    shown = f"{{{value.reference.name}}}"
                    yield f"`{shown}` is an absolute path; leave out the folder before it"

    def _by_bash(self, name: str, arguments: list[str]) -> Iterator[tuple[int, str]]:
        """Yield the words that bash itself runs, or takes for names, with what to say of them."""
        first = len(self.words) - len(arguments)
        for at, word in enumerate(arguments, first):
            before = self.words[at - 1]
            if name in _RUN_BY_BASH and _carries(word):
                yield at, f"`{name}` runs {self._show(word)} as code; {_CALL}"
            elif name in _NAMES_A_FILE and at == first and _VALUE.search(word):
                yield at, f"{self._show(word)} names a file that `{name}` runs; use a fixed name"
            elif self._is_name(name, word, before):
                yield at, f"{self._show(word)} names a variable for `{name}`; use a fixed name"

    def _is_name(self, command: str, word: str, before: str) -> bool:
        if command in _DECLARES:
            return _carries(word.partition("=")[0])
        if command in _TAKES_NAMES:
            return _carries(word) and not (command == "read" and _TAKES_VALUE.fullmatch(before))
        takes_name = (command == "printf" and before == "-v") or (
            command in ("test", "[") and before == "-v"
        )
        return takes_name and _carries(word)

    def _by_programs(self) -> Iterator[tuple[int, str]]:
        for at, program in code_positions(self.words):
            if _carries(self.words[at]):
                shown = self._show(self.words[at])
                yield at, f"`{program}` runs {shown} as code, or hands it to a shell; {_HAND_OVER}"

    def _options(self, start: int, told: set[int]) -> Iterator[str]:
        for at in range(start + 1, len(self.words)):
            word, before = self.words[at], self.words[at - 1]
            if word == "--" or is_argument_of_code(self.words, at):
                return
            found = _VALUE.match(word)
            if found is None or int(found[1]) not in self._loose or at in told:
                continue
            is_printed = self.words[start] == "printf" and at > start + 1
            if not is_printed and not _LONG_OPTION.fullmatch(before):
                command = self._show(self.words[start])
                is_param = self._slots[int(found[1])].reference.name.startswith("params.")
                yield (
                    f"{self._show(word)} may begin with `-`, which {command} takes for an option; "
                    f"write `--` before it{', or give its parameter a `pattern`' * is_param}"
                )

    def _show(self, word: str) -> str:
        """Return a word as the author wrote it, its values by their names, in backticks."""
        text = _VALUE.sub(lambda found: f"{{{self._slots[int(found[1])].reference.name}}}", word)
        return f"`{' '.join(text.split())[:60]}`"

    @property
    def title(self) -> str:
        """The first word, in backticks."""
        return self._show(self.words[0])


_CALL = "call the command itself, or use single quotes and a variable"
_HAND_OVER = "hand it over as an argument or in the environment"


def _carries(word: str) -> bool:
    """Whether a value, or a variable that may hold one, stands in a word."""
    return _VALUE.search(word) is not None or _EXPANSION.search(word) is not None


def find_cautions(pipeline: Pipeline, step: Step) -> list[Caution]:
    """Return what may go wrong with the values in a step's command, each once."""
    compiler = Compiler(pipeline, step)
    match step.action:
        case Run():
            found = _in_text(compiler.text(("run",), step.action.text).parts, pipeline)
        case Argv():
            found = _in_argv(step.action, compiler, pipeline)
        case _:
            found = iter(())
    first: dict[str, Caution] = {}
    for caution in found:
        first.setdefault(caution.message, caution)
    return list(first.values())


def _in_argv(action: Argv, compiler: Compiler, pipeline: Pipeline) -> Iterator[Caution]:
    parts: list[str | Slot] = []
    for index, word in enumerate(action.words):
        for template in [word] if isinstance(word, str) else word:
            parts += ["\0", *compiler.text(("argv", index), template).parts]
    text, _ = stand_in(parts[1:])
    # No shell reads these words: a `$` is a plain character in them.
    words = text.decode("utf-8", "replace").replace("$", "\1").split("\0")
    command = _Command(words, *_facts(parts, pipeline))
    yield from (Caution(message.replace("\1", "$")) for message in command.cautions(frozenset()))


def _in_text(parts: Sequence[str | Slot], pipeline: Pipeline) -> Iterator[Caution]:
    text, spots = stand_in(parts)
    root = parse(text)
    if not spots or first_doubt(root) is not None:
        return
    facts = _facts(parts, pipeline)
    functions = frozenset(
        text_of(name)
        for node in walk(root)
        if node.type == "function_definition" and (name := node.child_by_field_name("name"))
    )
    for node in sorted(walk(root), key=lambda node: node.start_byte):
        line = node.start_point[0] + 1
        if node.type in _COMMANDS:
            command = _Command(_words(node), *facts)
            yield from (Caution(message, line) for message in command.cautions(functions))
            if node.type == "command" and reads_code(command.words) and _is_fed_a_value(node):
                shown = command.title
                message = f"a value is part of the text that {shown} runs or splits; {_HAND_OVER}"
                yield Caution(message, line)
        elif _is_indirect(node):
            yield Caution(f"`{text_of(node)}` takes the name of a variable from another", line)
        elif node.type == "unary_expression" and text_of(node).startswith("-v"):
            command = _Command(["test", "-v", *map(_plain, node.named_children[1:])], *facts)
            yield from (Caution(message, line) for message in command.cautions(functions))


def _is_indirect(node: Node) -> bool:
    """Whether this is `${!x}`, and not the list of an array's indices or of names."""
    return node.type == "expansion" and re.match(r"\$\{!\w+[^\w\[@*]", text_of(node)) is not None


def _is_fed_a_value(command: Node) -> bool:
    """Whether a value stands in what goes to the standard input of a command."""
    whole = command
    while whole.parent is not None and whole.parent.type in _FEEDS:
        whole = whole.parent
    own = {word.id for word in command.named_children if word.type not in _REDIRECTS}
    pending = [whole]
    while pending:
        node = pending.pop()
        if node.id in own or node.type == "file_redirect":
            continue
        if not node.named_children and _VALUE.search(text_of(node)):
            return True
        pending.extend(node.named_children)
    return False


def _words(node: Node) -> list[str]:
    """Return the words of a command without quotes, without assignments before and redirections."""
    children = node.children if node.type != "command" else node.named_children
    words = [_plain(child) for child in children if child.type not in _REDIRECTS]
    if node.type == "command":
        skipped = [c.type for c in children if c.type not in _REDIRECTS]
        words = [w for w, kind in zip(words, skipped, strict=True) if kind != "variable_assignment"]
    return words or [""]


def _plain(node: Node) -> str:
    """Return a word without quotes. What a substitution prints is not the value, and left out."""
    if node.type in _SUBSTITUTIONS:
        return "…"
    if node.type in ("raw_string", "ansi_c_string"):
        return text_of(node).strip("$").strip("'").replace("$", "\1")
    if node.type == "string" or (node.children and node.type in _HOLDERS):
        whole, start, made = node.text or b"", node.start_byte, ""
        at = start
        for child in node.children:
            made += whole[at - start : child.start_byte - start].decode("utf-8", "replace")
            made += "" if child.type == '"' else _plain(child)
            at = child.end_byte
        return made
    return text_of(node)


_HOLDERS = ("concatenation", "command_name", "variable_assignment", "array")


def _facts(
    parts: Sequence[str | Slot], pipeline: Pipeline
) -> tuple[Sequence[Slot], frozenset[int]]:
    """Return the values, and the numbers of those that may begin with `-`."""
    slots = [part for part in parts if not isinstance(part, str)]
    params = {f"params.{param.name}": param for param in pipeline.params}
    loose = (
        number
        for number, slot in enumerate(slots)
        if slot.reference.is_free and _may_be_option(params.get(slot.reference.name), slot)
        if not (slot.reference.name == "key" and _names_its_keys(pipeline))
    )
    return slots, frozenset(loose)


def _names_its_keys(pipeline: Pipeline) -> bool:
    """Whether no key can begin with `-`: nobody pushes groups, and their keys begin with a letter."""
    return pipeline.items is ItemKind.GROUPS and (pipeline.key or "-")[0].isalnum()


def _may_be_option(param: Param | None, slot: Slot) -> bool:
    """Whether a value that comes from outside may begin with `-` and be no number."""
    if param is None:
        return not slot.reference.is_integer and not slot.reference.name.startswith("slot.")
    kind = param.items if param.type is ParamType.LIST else param.type
    if kind is ParamType.CHOICE:
        return any(choice.startswith("-") for choice in param.choices)
    is_text = kind is ParamType.STRING
    return is_text and (param.pattern is None or not _TAME_PATTERN.fullmatch(param.pattern))
