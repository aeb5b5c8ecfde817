"""Where in a shell text bash calculates, and with what: it runs commands found in subscripts there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

COMPARING = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
ARITHMETIC = ("((", "$((", "$[")
_SUBSCRIPT = re.compile(r"([A-Za-z_]\w*)\[([^\]]*)\]", re.ASCII)
_BREAK = re.compile(r"(?<!\\)\n")
_BLANK = re.compile(r"(?:[ \t]|\\\n)*")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def text_of(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def operator_of(node: Node) -> str:
    """Return the operator of an expression in a test."""
    for part in node.children:
        if part.type == "test_operator" or not part.is_named:
            return text_of(part)
    return ""


def is_in_test(node: Node) -> bool:
    """Whether `node` is part of a `[[ … ]]` or `[ … ]`."""
    current: Node | None = node
    while current is not None and current.type != "test_command":
        current = current.parent
    return current is not None


def is_calculated(node: Node, child: Node | None) -> bool:
    """Whether bash calculates what stands in `node`.

    The text decides too, because the grammar sometimes takes a calculation for commands.
    """
    if node.type == "c_style_for_statement":
        return child is None or child.type not in ("do_group", "compound_statement")
    if node.type in ("compound_statement", "subshell", "command_substitution"):
        return text_of(node).startswith(ARITHMETIC)
    return node.type == "arithmetic_expansion"


def _walk(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.named_children)


def commands_in(node: Node) -> Iterator[Node]:
    """Yield all simple commands in `node`, itself included."""
    return (part for part in _walk(node) if part.type == "command")


def declared_options(root: Node) -> dict[str, str]:
    """Return for each variable the letters of the options that `declare` and its like give it."""
    options: dict[str, str] = {}
    for node in _walk(root):
        if node.type != "declaration_command":
            continue
        texts = [text_of(part) for part in node.children[1:]]
        letters = "".join(text[1:] for text in texts if text.startswith("-"))
        for text in texts:
            name = text.partition("=")[0].partition("[")[0].rstrip("+")
            options[name] = options.get(name, "") + letters
    return options


def calculated_names(root: Node) -> set[str]:
    """Return the names of all variables that bash calculates with somewhere in the text.

    It takes their content for an expression, in which a subscript may hold a command.
    """
    options = declared_options(root)
    names: set[str] = set()
    for array, index in _SUBSCRIPT.findall(text_of(root)):
        if "A" not in options.get(array, ""):
            names.update(_IDENTIFIER.findall(index))
    for node in _walk(root):
        for text in _calculated_texts(node, options):
            names.update(_IDENTIFIER.findall(text))
    return _with_sources(names, root)


def _with_sources(names: set[str], root: Node) -> set[str]:
    """Return `names` and all names that occur in values assigned to one of them, and so on."""
    pairs = [_assignment(node) for node in _walk(root) if node.type == "variable_assignment"]
    while True:
        found = {word for name, value in pairs if name in names for word in value}
        if found <= names:
            return names
        names = names | found


def _assignment(node: Node) -> tuple[str, list[str]]:
    name, _, value = text_of(node).partition("=")
    return name.partition("[")[0].rstrip("+"), _IDENTIFIER.findall(value)


def _calculated_texts(node: Node, options: dict[str, str]) -> list[str]:
    if node.type == "c_style_for_statement":
        return [text_of(part) for part in node.children if is_calculated(node, part)]
    if is_calculated(node, None) or is_let(node):
        return [text_of(node)]
    if node.type == "binary_expression" and operator_of(node) in COMPARING:
        return [text_of(node)]
    if node.type == "variable_assignment":
        name, _, value = text_of(node).partition("=")
        return [value] if "i" in options.get(name.partition("[")[0].rstrip("+"), "") else []
    if node.type == "expansion" and any(text_of(part) == ":" for part in node.children):
        return [text_of(node).partition(":")[2]]
    return []


def is_let(node: Node) -> bool:
    """Whether `node` is a command that calculates its words."""
    return node.type == "command" and "let" in text_of(node).split()


def first_doubt(root: Node) -> Node | None:
    """Return the first place where the grammar is at a loss, or joins lines that bash does not.

    It takes a line that begins with a backslash for another word of the line before.
    """
    if root.has_error:
        for node in _walk(root):
            if node.is_error or node.is_missing:
                return node
        return root
    for node in _walk(root):
        if node.type == "word" and _BREAK.search(text_of(node)):
            return node
        if node.type in ("command", "declaration_command", "unset_command"):
            between = _gaps(node)
            if any(not _BLANK.fullmatch(gap) for gap in between):
                return node
    return None


def _gaps(node: Node) -> Iterator[str]:
    """Yield what stands between the words of a command."""
    whole = node.text or b""
    end = node.start_byte
    for child in node.children:
        yield whole[end - node.start_byte : child.start_byte - node.start_byte].decode(
            "utf-8", "replace"
        )
        end = child.end_byte
