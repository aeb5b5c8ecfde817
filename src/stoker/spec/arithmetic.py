"""Where in a shell text bash calculates, and with what: it runs commands found in subscripts there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

COMPARING = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
ARITHMETIC = ("((", "$((", "$[")
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
    for node in _walk(root):
        names.update(*(_IDENTIFIER.findall(text) for text in _calculated_texts(node, options)))
    return names


def _calculated_texts(node: Node, options: dict[str, str]) -> list[str]:
    if node.type == "c_style_for_statement":
        return [text_of(part) for part in node.children if is_calculated(node, part)]
    if is_calculated(node, None):
        return [text_of(node)]
    if node.type == "binary_expression" and operator_of(node) in COMPARING:
        return [text_of(node)]
    if node.type == "subscript":
        array, _, index = text_of(node).partition("[")
        return [] if "A" in options.get(array, "") else [index]
    if node.type == "expansion" and any(text_of(part) == ":" for part in node.children):
        return [text_of(node).partition(":")[2]]
    return []
