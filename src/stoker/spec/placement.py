"""What may be done with a value at one place of a shell text, read off bash's syntax tree.

The rules are a whitelist: a place that they do not know is refused. They refuse in particular every
place where bash would run the content of a variable as code: arithmetic, subscripts, names of
variables, `eval`, and commands that hand their words to another shell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from stoker.spec.commands import check_words, reads_code
from stoker.spec.names import Arity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node


class Form(Enum):
    """How the text refers to a value."""

    WORD = auto()  # one word, quoted
    INNER = auto()  # inside double quotes or a here-document
    WORDS = auto()  # as many words as the list has
    NUMBER = auto()  # an integer inside `$((…))`; verified for each attempt
    INTEGER = auto()  # an integer as a word that bash calculates; verified for each attempt
    PROGRAM = auto()  # an absolute path where a command's name stands; verified for each attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a placeholder stands, in bytes of the text, and what is known of its values."""

    start: int
    end: int
    name: str
    arity: Arity
    is_integer: bool
    is_absolute: bool


class Misplaced(Exception):
    """A value cannot stand at this place; carries a message and a hint."""

    def __init__(self, spot: Spot, where: str, hint: str) -> None:
        self.message = f"`{{{spot.name}}}` stands {where}"
        self.hint = hint
        super().__init__(self.message)


_ASSIGN = "assign it to a variable first: `x={…}`, then use `$x`"
_TYPED = "only parameters of type `integer` may stand there"

_SUBSCRIPT = ("in a subscript, which bash would calculate", "use a fixed one")

_NEVER = {
    "raw_string": ("inside single quotes", "use double quotes"),
    "ansi_c_string": ("inside `$'…'`", "use double quotes"),
    "translated_string": ('inside `$"…"`', "use double quotes"),
    "comment": ("in a comment", "take it out, or write `{{…}}`"),
    "heredoc_start": ("in the word of a here-document", "use a fixed word"),
    "expansion": ("inside `${…}`", _ASSIGN),
    "subscript": _SUBSCRIPT,
    "unset_command": ("as the name of a variable", "use a fixed name"),
    "ERROR": ("where the grammar of bash is at a loss", "write that line differently"),
}

_FINE = frozenset(
    ["program", "list", "pipeline", "redirected_statement", "subshell", "compound_statement", "if_statement", "elif_clause", "else_clause", "while_statement", "for_statement", "do_group", "case_statement", "case_item", "negated_command", "command_substitution", "process_substitution", "string", "concatenation", "word", "command_name", "array", "variable_assignments", "test_command", "parenthesized_expression", "heredoc_redirect", "heredoc_body", "heredoc_content", "herestring_redirect", "file_redirect", "c_style_for_statement", "extglob_pattern", "regex", "string_content", "unary_expression", "binary_expression"]
)

_ARITHMETIC = ("((", "$((", "$[")
_UNARY = frozenset(f"-{letter}" for letter in "bcdefghkprsuwxGLNOSzn")
_BINARY = frozenset(("==", "=", "!=", "=~", "<", ">", "-nt", "-ot", "-ef"))
_COMPARING = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_JOINING = frozenset(("&&", "||", "!"))
_REDIRECTS = frozenset(("<", ">", ">>", ">|", "&>", "&>>", "<>"))

# Variables that bash calculates, or whose content it runs.
_SPECIAL_VARIABLES = frozenset(
    ["RANDOM", "SRANDOM", "SECONDS", "LINENO", "OPTIND", "HISTCMD", "BASHPID", "EPOCHSECONDS", "PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "BASH_ALIASES", "BASH_CMDS"]
)


def find_form(root: Node, spot: Spot) -> Form:
    """Return how the text is to refer to the value at `spot`; Misplaced where it cannot."""
    return _Judge(root, spot).form()


class _Judge:
    """Goes from a place up to the root and asks at each node whether a value may stand there."""

    def __init__(self, root: Node, spot: Spot) -> None:
        self._root = root
        self._spot = spot
        leaf = root.descendant_for_byte_range(spot.start, spot.end)
        if leaf is None:
            raise self._refuse("where the grammar of bash is at a loss", "write it differently")
        self._leaf = leaf
        self._number = False  # inside `$((…))` and its like
        self._integer = False  # in a word that bash calculates
        self._crossed = False  # inside `$(…)`: what is around that gets output, not the value
        self._program = False  # a command's name stands here
        self._inner = False  # inside double quotes or a here-document
        self._several = False  # several words may stand here

    def form(self) -> Form:
        self._check_leaf()
        child: Node | None = None
        node: Node | None = self._leaf
        while node is not None:
            self._visit(node, child)
            child, node = node, node.parent
        return self._decide()

    def _decide(self) -> Form:
        spot = self._spot
        if self._number or self._integer:
            return Form.NUMBER if self._number else Form.INTEGER
        is_word = self._is_whole() and not self._inner and self._is_own_word()
        if spot.arity is not Arity.ONE and is_word and self._several and not self._program:
            return Form.WORDS
        if spot.arity is Arity.MANY:
            where = "as a list where one word stands"
            raise self._refuse(where, f"join it: `{{{spot.name}:,}}`")
        if self._program:
            return Form.PROGRAM
        return Form.INNER if self._inner else Form.WORD

    def _is_whole(self) -> bool:
        return (self._leaf.start_byte, self._leaf.end_byte) == (self._spot.start, self._spot.end)

    def _is_own_word(self) -> bool:
        parent = self._leaf.parent
        return parent is None or parent.type != "concatenation"

    def _refuse(self, where: str, hint: str) -> Misplaced:
        return Misplaced(self._spot, where, hint)

    def _check_leaf(self) -> None:
        """Refuse what follows a backslash, and leaves in which quotes stand that are not told."""
        text = self._root.text or b""
        before = text[: self._spot.start]
        if (len(before) - len(before.rstrip(b"\\"))) % 2:
            raise self._refuse("after a backslash", "take the backslash out")
        content = _text(self._leaf)
        kind = self._leaf.type
        if kind in ("word", "extglob_pattern", "regex") and any(
            mark in content for mark in "'\"`$"
        ):
            raise self._refuse(f"in `{content}`, whose quoting is not certain", _ASSIGN)
        if kind in ("string_content", "heredoc_content", "heredoc_body") and "`" in content:
            raise self._refuse("near a backquote inside quotes", "use `$(…)` instead")

    def _visit(self, node: Node, child: Node | None) -> None:
        kind = node.type
        visit = _VISITS.get(kind)
        if self._crossed and kind not in _BEYOND:
            return
        if kind in _NEVER:
            raise self._refuse(*_NEVER[kind])
        if _calculates(node, child):
            self._visit_arithmetic(node)
        elif visit is not None:
            visit(self, node, child)
        elif kind not in _FINE and not self._number:
            raise self._refuse("at a place that Stoker does not know", _ASSIGN)

    def _visit_arithmetic(self, node: Node) -> None:
        is_certain = node.type not in ("subshell", "command_substitution")
        if not (is_certain and self._spot.is_integer and self._is_whole()) or self._inner:
            raise self._refuse("where bash calculates", _TYPED)
        self._number = True

    def _calculate_word(self, where: str) -> None:
        """The word as a whole is calculated: only an integer may be it."""
        if not self._spot.is_integer:
            raise self._refuse(where, _TYPED)
        self._integer = True
        if not self._is_whole() or self._inner or not self._is_own_word():
            raise self._refuse(where, "let it stand alone, without quotes")

    def _visit_name(self, node: Node, _: Node | None) -> None:
        """A variable's name: only what bash calculates looks the same in the tree."""
        parent = node.parent
        while parent is not None and parent.type.endswith("_expression"):
            parent = parent.parent
        is_arithmetic = parent is not None and _text(parent).startswith(_ARITHMETIC)
        if not is_arithmetic:
            raise self._refuse("as the name of a variable", "use a fixed name")

    def _visit_string(self, _: Node, __: Node | None) -> None:
        self._inner = self._inner or not self._number

    def _visit_heredoc(self, node: Node, child: Node | None) -> None:
        if child is not None and child.type != "heredoc_content":
            raise self._refuse("inside a command in a here-document", _ASSIGN)
        start = next(
            (other for other in (node.parent or node).children if other.type == "heredoc_start"),
            None,
        )
        if start is None or any(mark in _text(start) for mark in "'\"\\"):
            where = "in a here-document whose word is quoted, where bash replaces nothing"
            raise self._refuse(where, "take the quotes from the word after `<<`")
        if "`" in _text(node) or "$[" in _text(node):
            raise self._refuse("in a here-document with a backquote", "use `$(…)` instead")
        self._inner = True
        self._check_feeding(node)

    def _visit_herestring(self, node: Node, _: Node | None) -> None:
        self._check_feeding(node)

    def _visit_heredoc_redirect(self, _: Node, child: Node | None) -> None:
        """The grammar draws what follows on the line of a here-document into it."""
        if child is not None and child.type not in ("heredoc_body", "file_redirect", *_STATEMENTS):
            raise self._refuse("after a redirection", "write redirections last")

    def _visit_pipeline(self, node: Node, child: Node | None) -> None:
        stages = node.named_children
        if child in stages:
            for stage in stages[stages.index(child) + 1 :]:
                self._check_reader(stage)

    def _check_feeding(self, node: Node) -> None:
        """Refuse a place whose text goes to the standard input of a shell."""
        current: Node | None = node
        while current is not None and current.type not in ("redirected_statement", "command"):
            current = current.parent
        if current is not None:
            self._check_reader(current)

    def _check_reader(self, node: Node) -> None:
        for command in _commands_in(node):
            words = [_text(part) for part in command.named_children if _is_argument(part)]
            if reads_code(words):
                where = f"in a text that `{words[0]}` would run as code"
                raise self._refuse(where, "call the commands themselves")

    def _visit_substitution(self, node: Node, _: Node | None) -> None:
        if _text(node).startswith("`"):
            raise self._refuse("inside backquotes", "use `$(…)` instead")
        self._crossed = True

    def _visit_function(self, node: Node, child: Node | None) -> None:
        if child == node.child_by_field_name("name"):
            raise self._refuse("as the name of a function", "use a fixed name")

    def _visit_assignment(self, node: Node, child: Node | None) -> None:
        name = node.child_by_field_name("name")
        if name is None or child == name:
            raise self._refuse("in the name of a variable", "use a fixed name")
        variable = _text(name).partition("[")[0]
        if variable in _SPECIAL_VARIABLES:
            where = f"as the value of `{variable}`, which bash calculates or runs"
            raise self._refuse(where, "use a variable of your own")
        options = declared_options(self._root).get(variable, "")
        if "n" in options:
            raise self._refuse("as the name of a variable (`-n`)", "use a fixed name")
        if "i" in options:
            self._calculate_word(f"as the value of `{variable}`, which bash calculates (`-i`)")
        elif not self._spot.is_integer and variable in calculated_names(self._root):
            raise self._refuse(f"as the value of `{variable}`, which bash calculates below", _TYPED)

    def _visit_for(self, node: Node, child: Node | None) -> None:
        variable = node.child_by_field_name("variable")
        if child is None or child.type in ("do_group", "compound_statement"):
            return
        if variable is not None and _text(variable) in calculated_names(self._root):
            raise self._refuse(f"as a value of `{_text(variable)}`, which bash calculates", "")
        self._allow_several(node, child)

    def _visit_declaration(self, node: Node, child: Node | None) -> None:
        if child is not None and child.type != "variable_assignment":
            command = _text(node.children[0])
            hint = f"write `NAME={{…}}` after `{command}`, without quotes around all of it"
            raise self._refuse(f"in a word that `{command}` takes apart itself", hint)

    def _visit_array(self, node: Node, child: Node | None) -> None:
        if child is not None and "[" in _text(child).partition(_text(self._leaf))[0]:
            raise self._refuse(*_SUBSCRIPT)
        self._allow_several(node, child)

    def _allow_several(self, _: Node, child: Node | None) -> None:
        self._several = self._several or (child is not None and child == self._leaf)

    def _visit_redirect(self, node: Node, child: Node | None) -> None:
        operator = next((_text(n) for n in node.children if not n.is_named), "")
        if operator not in _REDIRECTS or child is None:
            raise self._refuse(f"after `{operator}`", "redirect to a file: `> {out.…}`")
        if child != node.child_by_field_name("destination"):
            # The grammar draws words that follow a redirection into it.
            raise self._refuse("after a redirection", "write redirections last")

    def _visit_expression(self, node: Node, _: Node | None) -> None:
        """Part of a test: known operators compare texts or look at files; others calculate."""
        if self._number or not _is_in_test(node):
            return
        operator = _operator(node)
        is_unary = node.type == "unary_expression"
        if operator in (_UNARY if is_unary else _BINARY) or operator in _JOINING:
            return
        if operator in _COMPARING:
            self._calculate_word(f"beside `{operator}`, where bash calculates")
            return
        raise self._refuse(f"beside `{operator}`", "use a fixed word there")

    def _visit_command(self, node: Node, child: Node | None) -> None:
        if child is None or not _is_argument(child):
            return
        words = [part for part in node.named_children if _is_argument(part)]
        starts = child.start_byte == self._spot.start
        self._several = self._several or child == self._leaf
        verdict = check_words([_text(part) for part in words], words.index(child))
        if verdict.needs_program:
            if not (self._spot.is_absolute and starts):
                hint = "name the program in the text; only absolute paths such as `{in.…}` may"
                raise self._refuse("where the name of a program stands", hint)
            self._program = True
        if verdict.refusal:
            raise self._refuse(*verdict.refusal)


_NO_ARGUMENT = ("variable_assignment", "file_redirect", "heredoc_redirect", "herestring_redirect")
_STATEMENTS = ("pipeline", "list", "command", "redirected_statement", "negated_command")

# What still matters around a `$(…)` that a value stands in.
_BEYOND = ("command", "pipeline", "command_substitution", "heredoc_body", "ERROR")

_VISITS = {
    "variable_name": _Judge._visit_name,
    "special_variable_name": _Judge._visit_name,
    "string": _Judge._visit_string,
    "heredoc_body": _Judge._visit_heredoc,
    "heredoc_redirect": _Judge._visit_heredoc_redirect,
    "herestring_redirect": _Judge._visit_herestring,
    "command_substitution": _Judge._visit_substitution,
    "process_substitution": _Judge._visit_substitution,
    "pipeline": _Judge._visit_pipeline,
    "function_definition": _Judge._visit_function,
    "variable_assignment": _Judge._visit_assignment,
    "declaration_command": _Judge._visit_declaration,
    "array": _Judge._visit_array,
    "for_statement": _Judge._visit_for,
    "file_redirect": _Judge._visit_redirect,
    "unary_expression": _Judge._visit_expression,
    "binary_expression": _Judge._visit_expression,
    "command": _Judge._visit_command,
}


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _is_argument(node: Node) -> bool:
    return node.type not in _NO_ARGUMENT


def _operator(node: Node) -> str:
    for part in node.children:
        if part.type == "test_operator" or not part.is_named:
            return _text(part)
    return ""


def _is_in_test(node: Node) -> bool:
    current: Node | None = node
    while current is not None and current.type != "test_command":
        current = current.parent
    return current is not None


def _calculates(node: Node, child: Node | None) -> bool:
    """Whether bash calculates what stands in `node`; by its text too, which the grammar sometimes
    takes for commands.
    """
    if node.type == "c_style_for_statement":
        return child is None or child.type not in ("do_group", "compound_statement")
    if node.type in ("compound_statement", "subshell", "command_substitution"):
        return _text(node).startswith(_ARITHMETIC)
    return node.type == "arithmetic_expansion"


def _walk(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.named_children)


def _commands_in(node: Node) -> Iterator[Node]:
    return (part for part in _walk(node) if part.type == "command")


def declared_options(root: Node) -> dict[str, str]:
    """Return for each variable the letters of the options that `declare` and its like give it."""
    options: dict[str, str] = {}
    for node in _walk(root):
        if node.type != "declaration_command":
            continue
        texts = [_text(part) for part in node.children[1:]]
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
        return [_text(part) for part in node.children if _calculates(node, part)]
    if _calculates(node, None):
        return [_text(node)]
    if node.type == "binary_expression" and _operator(node) in _COMPARING:
        return [_text(node)]
    if node.type == "subscript":
        array, _, index = _text(node).partition("[")
        return [] if "A" in options.get(array, "") else [index]
    if node.type == "expansion" and any(_text(part) == ":" for part in node.children):
        return [_text(node).partition(":")[2]]
    return []
