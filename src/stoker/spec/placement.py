"""What may be done with a value at one place of a shell text, read off bash's syntax tree.

The rules are a whitelist: a place that they do not know is refused. They refuse in particular every
place where bash would run the content of a variable as code: arithmetic, subscripts, names of
variables, `eval`, and commands that hand their words to another shell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.spec.arithmetic import (
    ARITHMETIC,
    COMPARING,
    calculated_names,
    commands_in,
    declared_options,
    is_calculated,
    is_in_test,
    operator_of,
    text_of,
)
from stoker.spec.commands import check_words, reads_code
from stoker.spec.places import (
    ASSIGN,
    BEYOND,
    BINARY,
    FINE,
    JOINING,
    NEVER,
    NO_ARGUMENT,
    REDIRECTS,
    SPECIAL_VARIABLES,
    STATEMENTS,
    SUBSCRIPT,
    TYPED,
    UNARY,
    Form,
    Misplaced,
    Spot,
)
from stoker.spec.values import Arity

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ClassVar

    from tree_sitter import Node


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
        content = text_of(self._leaf)
        kind = self._leaf.type
        if kind in ("word", "extglob_pattern", "regex") and any(
            mark in content for mark in "'\"`$"
        ):
            raise self._refuse(f"in `{content}`, whose quoting is not certain", ASSIGN)
        if kind in ("string_content", "heredoc_content", "heredoc_body") and "`" in content:
            raise self._refuse("near a backquote inside quotes", "use `$(…)` instead")

    def _visit(self, node: Node, child: Node | None) -> None:
        kind = node.type
        visit = self._VISITS.get(kind)
        if self._crossed and kind not in BEYOND:
            return
        if kind in NEVER:
            raise self._refuse(*NEVER[kind])
        if is_calculated(node, child):
            self._visit_arithmetic(node)
        elif visit is not None:
            visit(self, node, child)
        elif kind not in FINE and not self._number:
            raise self._refuse("at a place that Stoker does not know", ASSIGN)

    def _visit_arithmetic(self, node: Node) -> None:
        is_certain = node.type not in ("subshell", "command_substitution")
        if not (is_certain and self._spot.is_integer and self._is_whole()) or self._inner:
            raise self._refuse("where bash calculates", TYPED)
        self._number = True

    def _calculate_word(self, where: str) -> None:
        """The word as a whole is calculated: only an integer may be it."""
        if not self._spot.is_integer:
            raise self._refuse(where, TYPED)
        self._integer = True
        if not self._is_whole() or self._inner or not self._is_own_word():
            raise self._refuse(where, "let it stand alone, without quotes")

    def _visit_name(self, node: Node, _: Node | None) -> None:
        """A variable's name: only what bash calculates looks the same in the tree."""
        parent = node.parent
        while parent is not None and parent.type.endswith("_expression"):
            parent = parent.parent
        is_arithmetic = parent is not None and text_of(parent).startswith(ARITHMETIC)
        if not is_arithmetic:
            raise self._refuse("as the name of a variable", "use a fixed name")

    def _visit_string(self, node: Node, _: Node | None) -> None:
        if (self._root.text or b"")[: node.start_byte].endswith(b"$"):
            raise self._refuse(*NEVER["translated_string"])
        self._inner = self._inner or not self._number

    def _visit_heredoc(self, node: Node, child: Node | None) -> None:
        if child is not None and child.type != "heredoc_content":
            raise self._refuse("inside a command in a here-document", ASSIGN)
        start = next(
            (other for other in (node.parent or node).children if other.type == "heredoc_start"),
            None,
        )
        if start is None or any(mark in text_of(start) for mark in "'\"\\"):
            where = "in a here-document whose word is quoted, where bash replaces nothing"
            raise self._refuse(where, "take the quotes from the word after `<<`")
        if "`" in text_of(node) or "$[" in text_of(node):
            raise self._refuse("in a here-document with a backquote", "use `$(…)` instead")
        self._inner = True
        self._check_feeding(node)

    def _visit_herestring(self, node: Node, _: Node | None) -> None:
        self._check_feeding(node)

    def _visit_heredoc_redirect(self, _: Node, child: Node | None) -> None:
        """The grammar draws what follows on the line of a here-document into it."""
        if child is not None and child.type not in ("heredoc_body", "file_redirect", *STATEMENTS):
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
        for command in commands_in(node):
            words = [text_of(part) for part in command.named_children if _is_argument(part)]
            if reads_code(words):
                where = f"in a text that `{words[0]}` would run as code"
                raise self._refuse(where, "call the commands themselves")

    def _visit_substitution(self, node: Node, _: Node | None) -> None:
        if text_of(node).startswith("`"):
            raise self._refuse("inside backquotes", "use `$(…)` instead")
        self._crossed = True

    def _visit_function(self, node: Node, child: Node | None) -> None:
        if child == node.child_by_field_name("name"):
            raise self._refuse("as the name of a function", "use a fixed name")

    def _visit_assignment(self, node: Node, child: Node | None) -> None:
        name = node.child_by_field_name("name")
        if name is None or child == name:
            raise self._refuse("in the name of a variable", "use a fixed name")
        variable = text_of(name).partition("[")[0]
        if variable in SPECIAL_VARIABLES:
            where = f"as the value of `{variable}`, which bash calculates or runs"
            raise self._refuse(where, "use a variable of your own")
        options = declared_options(self._root).get(variable, "")
        if "n" in options:
            raise self._refuse("as the name of a variable (`-n`)", "use a fixed name")
        if "i" in options:
            self._calculate_word(f"as the value of `{variable}`, which bash calculates (`-i`)")
        elif not self._spot.is_integer and variable in calculated_names(self._root):
            raise self._refuse(f"as the value of `{variable}`, which bash calculates below", TYPED)

    def _visit_for(self, node: Node, child: Node | None) -> None:
        variable = node.child_by_field_name("variable")
        if child is None or child.type in ("do_group", "compound_statement"):
            return
        if variable is not None and text_of(variable) in calculated_names(self._root):
            raise self._refuse(f"as a value of `{text_of(variable)}`, which bash calculates", "")
        self._allow_several(node, child)

    def _visit_declaration(self, node: Node, child: Node | None) -> None:
        if child is not None and child.type != "variable_assignment":
            command = text_of(node.children[0])
            hint = f"write `NAME={{…}}` after `{command}`, without quotes around all of it"
            raise self._refuse(f"in a word that `{command}` takes apart itself", hint)

    def _visit_array(self, node: Node, child: Node | None) -> None:
        if child is not None and "[" in text_of(child).partition(text_of(self._leaf))[0]:
            raise self._refuse(*SUBSCRIPT)
        self._allow_several(node, child)

    def _allow_several(self, _: Node, child: Node | None) -> None:
        self._several = self._several or (child is not None and child == self._leaf)

    def _visit_redirect(self, node: Node, child: Node | None) -> None:
        operator = next((text_of(n) for n in node.children if not n.is_named), "")
        if operator not in REDIRECTS or child is None:
            raise self._refuse(f"after `{operator}`", "redirect to a file: `> {out.…}`")
        if child != node.child_by_field_name("destination"):
            # The grammar draws words that follow a redirection into it.
            raise self._refuse("after a redirection", "write redirections last")

    def _visit_expression(self, node: Node, _: Node | None) -> None:
        """Part of a test: known operators compare texts or look at files; others calculate."""
        if self._number or not is_in_test(node):
            return
        operator = operator_of(node)
        is_unary = node.type == "unary_expression"
        if operator in (UNARY if is_unary else BINARY) or operator in JOINING:
            return
        if operator in COMPARING:
            self._calculate_word(f"beside `{operator}`, where bash calculates")
            return
        raise self._refuse(f"beside `{operator}`", "use a fixed word there")

    def _visit_command(self, node: Node, child: Node | None) -> None:
        if child is None or not _is_argument(child):
            return
        words = [part for part in node.named_children if _is_argument(part)]
        starts = child.start_byte == self._spot.start
        self._several = self._several or child == self._leaf
        verdict = check_words([text_of(part) for part in words], words.index(child))
        if verdict.needs_program:
            if not (self._spot.is_absolute and starts):
                hint = "name the program in the text, and quote every `$…` before the value"
                raise self._refuse("where the name of a program stands", hint)
            self._program = True
        if verdict.refusal:
            raise self._refuse(*verdict.refusal)

    _VISITS: ClassVar[dict[str, Callable[[_Judge, Node, Node | None], None]]] = {
        "variable_name": _visit_name,
        "special_variable_name": _visit_name,
        "string": _visit_string,
        "heredoc_body": _visit_heredoc,
        "heredoc_redirect": _visit_heredoc_redirect,
        "herestring_redirect": _visit_herestring,
        "command_substitution": _visit_substitution,
        "process_substitution": _visit_substitution,
        "pipeline": _visit_pipeline,
        "function_definition": _visit_function,
        "variable_assignment": _visit_assignment,
        "declaration_command": _visit_declaration,
        "array": _visit_array,
        "for_statement": _visit_for,
        "file_redirect": _visit_redirect,
        "unary_expression": _visit_expression,
        "binary_expression": _visit_expression,
        "command": _visit_command,
    }


def _is_argument(node: Node) -> bool:
    return node.type not in NO_ARGUMENT
