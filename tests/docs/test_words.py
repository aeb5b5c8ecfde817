"""Words that read like a translation are not used where users and readers of the code meet them."""

import ast
import re
from pathlib import Path

import click

from stoker.cli.main import cli

ROOT = Path(__file__).parents[2]
AVOIDED = re.compile(
    r"\b(told|tells|reckon\w*|anew|afresh|whoever|lies?)\b|\bend(s|ed)? with (status )?\d",
    re.IGNORECASE,
)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
    *sorted((ROOT / "examples").rglob("*.md")),
]
MODULES = sorted((ROOT / "src" / "stoker").rglob("*.py"))


def avoided_in(text):
    """What is left of a text without code, word by word; code has names that nobody can choose."""
    prose = re.sub(r"^```.*?^```$|``?[^`]+``?", " ", text, flags=re.MULTILINE | re.DOTALL)
    return [found[0] for found in AVOIDED.finditer(prose)]


def is_public(node):
    return not getattr(node, "name", "").startswith("_")


def texts_of(tree):
    """Docstrings of public things, and all texts of several words: errors, help, column notes."""
    private = set()
    for node in ast.walk(tree):
        described = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, described) and not is_public(node) and ast.get_docstring(node):
            private.add(id(node.body[0].value))
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in private and " " in node.value.strip():
            yield node.lineno, node.value


def test_docstrings_and_messages_avoid_them():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in MODULES
        for line, text in texts_of(ast.parse(path.read_text(encoding="utf-8")))
        for word in avoided_in(text)
    ]
    assert found == []


def test_pages_avoid_them():
    assert len(PAGES) > 80
    found = {
        str(page.relative_to(ROOT)): avoided_in(page.read_text(encoding="utf-8")) for page in PAGES
    }
    assert {page: words for page, words in found.items() if words} == {}


def helps(command, context):
    yield command.get_help(context)
    for name in getattr(command, "commands", {}) if isinstance(command, click.Group) else ():
        yield from helps(
            command.commands[name], click.Context(command.commands[name], context, name)
        )


def test_help_avoids_them():
    context = click.Context(cli, info_name="stoker")
    texts = [cli.get_help(context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        texts += helps(command, click.Context(command, context, name))
    assert len(texts) > 40
    assert [word for text in texts for word in avoided_in(text)] == []


def test_an_avoided_word_is_found():
    source = '"""What it tells."""\ndef f():\n    raise ValueError(f"{f} lies here")\n'
    private = 'def _f():\n    """Whoever asks."""\n'
    assert [text for _, text in texts_of(ast.parse(source)) if avoided_in(text)] == [
        "What it tells.",
        " lies here",
    ]
    assert list(texts_of(ast.parse(private))) == []
    assert avoided_in("It ends with 1.\n```\ntold\n```\n`told` is a column.") == ["ends with 1"]
