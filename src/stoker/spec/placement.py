"""How a shell text is to refer to the value at one place, read off bash's syntax tree.

Quotes decide the form of the reference. A mistake is a place where bash replaces nothing, and an
operand of arithmetic that is not an integer. Where a value may lead after that is not followed:
`spec.evaluation` has the rule for what it may contain, and `spec.cautions` what `check` warns of.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stoker.spec.places import (
    ASSIGN,
    COMPARING,
    FIXED_NAME,
    NEVER,
    TYPED,
    Form,
    Misplaced,
    Placed,
    Spot,
)
from stoker.spec.values import Arity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

_SUBSTITUTIONS = ("command_substitution", "process_substitution")
_TAKES_WORDS = ("command", "array", "for_statement")  # around a word that may be several
_BREAK = re.compile(r"(?<!\\)\n")
_BLANK = re.compile(r"(?:[ \t]|\\\n)*")


def text_of(node: Node) -> str:
    """Return the text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def walk(root: Node) -> Iterator[Node]:
    """Yield a node and all named nodes below it."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.named_children)


def first_doubt(root: Node) -> Node | None:
    """Return the first place where the grammar is at a loss, or joins lines that bash does not.

    It takes a line that begins with a backslash for another word of the line before.
    """
    if root.has_error:
        return next((node for node in walk(root) if node.is_error or node.is_missing), root)
    for node in walk(root):
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
        gap = whole[end - node.start_byte : child.start_byte - node.start_byte]
        yield gap.decode("utf-8", "replace")
        end = child.end_byte


def find_place(root: Node, spot: Spot) -> Placed:
    """Return how the text is to refer to the value at `spot`; Misplaced where it cannot."""
    leaf = root.descendant_for_byte_range(spot.start, spot.end)
    if leaf is None:
        raise Misplaced(spot, *NEVER["ERROR"])
    _check_leaf(root, leaf, spot)
    is_inner = is_several = is_operand = is_in_expansion = False
    child, node = leaf, leaf.parent
    while node is not None and child.type not in _SUBSTITUTIONS:
        if child.type in NEVER:
            raise Misplaced(spot, *NEVER[child.type])
        _check_name(node, child, spot)
        if child.type == "string":
            _check_translated(root, child, spot)
            is_inner = True
        elif node.type == "heredoc_body" or child.type == "heredoc_body":
            _check_heredoc(child if child.type == "heredoc_body" else node, spot)
            is_inner = True
        if _is_calculated(node, child):
            return _calculated(node, leaf, spot, is_inner=is_inner)
        is_in_expansion = is_in_expansion or node.type == "expansion"
        is_operand = is_operand or _is_operand(node, child, spot)
        is_several = is_several or (node.type in _TAKES_WORDS and _spans(child, spot))
        child, node = node, node.parent
    if is_operand and not spot.is_integer:
        raise Misplaced(spot, "where bash calculates", TYPED)
    if is_several and not is_inner and spot.arity is not Arity.ONE:
        return Placed(Form.WORDS)
    if spot.arity is Arity.MANY:
        where = "as a list where one word stands"
        raise Misplaced(spot, where, f"join it: `{{{spot.name}:,}}`")
    # Quotes inside `${…}` keep a value from being a pattern, also where quotes stand around it.
    return Placed(Form.INNER if is_inner and not is_in_expansion else Form.WORD, is_operand)


def _spans(node: Node, spot: Spot) -> bool:
    return (node.start_byte, node.end_byte) == (spot.start, spot.end)


def _check_leaf(root: Node, leaf: Node, spot: Spot) -> None:
    """Refuse what follows a backslash, and leaves whose quotes cannot be distinguished."""
    before = (root.text or b"")[: spot.start]
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        raise Misplaced(spot, "after a backslash", "take the backslash out")
    content = text_of(leaf)
    is_bare = leaf.type in ("word", "extglob_pattern", "regex")
    if is_bare and any(mark in content for mark in "'\"`$"):
        raise Misplaced(spot, f"in `{content}`, whose quoting is not certain", ASSIGN)
    if leaf.type in ("string_content", "heredoc_content", "heredoc_body") and "`" in content:
        raise Misplaced(spot, "near a backquote inside quotes", "use `$(…)` instead")


def _check_translated(root: Node, string: Node, spot: Spot) -> None:
    if (root.text or b"")[: string.start_byte].endswith(b"$"):
        raise Misplaced(spot, *NEVER["translated_string"])


def _check_heredoc(body: Node, spot: Spot) -> None:
    around = (body.parent or body).children
    start = next((other for other in around if other.type == "heredoc_start"), None)
    if start is None or any(mark in text_of(start) for mark in "'\"\\"):
        where = "in a here-document whose word is quoted, where bash replaces nothing"
        raise Misplaced(spot, where, "take the quotes from the word after `<<`")
    if "$[" in text_of(body):
        raise Misplaced(spot, "beside `$[` in a here-document", "use `$((…))` instead")


def _check_name(node: Node, child: Node, spot: Spot) -> None:
    """Refuse what names something: bash takes no reference there."""
    if node.type == "function_definition" and child == node.child_by_field_name("name"):
        raise Misplaced(spot, "as the name of a function", FIXED_NAME)
    is_variable = (
        node.type == "variable_assignment" and child == node.child_by_field_name("name")
    ) or (node.type == "for_statement" and child == node.child_by_field_name("variable"))
    if is_variable:
        raise Misplaced(spot, "as the name of a variable", FIXED_NAME)


def _is_calculated(node: Node, child: Node) -> bool:
    """Whether bash calculates what stands in `node`.

    The text decides too, because the grammar sometimes takes a calculation for commands.
    """
    if node.type == "c_style_for_statement":
        return child.type not in ("do_group", "compound_statement")
    if node.type in ("compound_statement", "subshell", "command_substitution"):
        return text_of(node).startswith(("((", "$((", "$["))
    if node.type == "subscript":
        return child != node.child_by_field_name("name")
    if node.type == "expansion":
        before = [one.type for one in node.children if one.end_byte <= child.start_byte]
        return before[-1:] == [":"]
    return node.type == "arithmetic_expansion"


def _calculated(node: Node, leaf: Node, spot: Spot, *, is_inner: bool) -> Placed:
    """Return the place of an operand, which stands alone and is an integer."""
    if not (spot.is_integer and (is_inner or _spans(leaf, spot))):
        raise Misplaced(spot, "where bash calculates", TYPED)
    if node.type in ("subshell", "command_substitution"):
        raise Misplaced(spot, "where it is not certain that bash calculates", ASSIGN)
    # The subscript may be that of a map, in which a variable's name would be a key.
    is_replaced = is_inner or node.type == "subscript"
    return Placed(Form.INNER if is_replaced else Form.NUMBER, is_operand=True)


def _is_operand(node: Node, child: Node, spot: Spot) -> bool:
    """Whether bash calculates with the word `child`.

    It does beside `-eq` in `[[ … ]]`, after `let`, and in `([…]=…)`.
    """
    if node.type == "array":
        before = (child.text or b"")[: spot.start - child.start_byte]
        return before.startswith(b"[") and b"]" not in before
    if node.type == "command":
        name = node.child_by_field_name("name")
        return name is not None and child != name and text_of(name).strip("\\\"'") == "let"
    if node.type != "binary_expression":
        return False
    operator = next((part for part in node.children if part.type == "test_operator"), None)
    return operator is not None and text_of(operator) in COMPARING and _is_in_double_test(node)


def _is_in_double_test(node: Node) -> bool:
    current: Node | None = node
    while current is not None and current.type != "test_command":
        current = current.parent
    return current is not None and text_of(current).startswith("[[")
