"""The rules of the house that no linter knows, each a function from sources to what breaks it.

A problem is text that begins with where it is. `test_rules.py` applies every rule to the package and,
so that none can pass by looking at nothing, to a small source that breaks it.
"""

import ast
import graphlib
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "stoker"

MODULE_LINES = 400
FUNCTION_STATEMENTS = 50
BROAD_EXCEPTS = 3
BANNED_NAMES = {
    "utils",
    "util",
    "common",
    "helpers",
    "helper",
    "base",
    "manager",
    "managers",
    "misc",
}
DATABASE_MODULES = {"sqlalchemy", "alembic", "sqlite3", "psycopg", "pymysql"}
STATE_TABLES = "task|attempt|item|worker"

_UPDATE = re.compile(
    rf"\bupdate\s+(?:{STATE_TABLES})\b.*?\bset\b(?P<assignments>.*?)(?:\bwhere\b|$)",
    re.IGNORECASE | re.DOTALL,
)
_STATE_ASSIGNED = re.compile(r"(?:^|,)\s*(?:\w+\.)?state\s*=", re.IGNORECASE)
_REASON = re.compile(r"\b(?:TODO|FIXME|XXX)\b:?\s*(?P<reason>.*)")


@dataclass(frozen=True)
class Source:
    """One Python file of the package, `path` relative to the package."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return ast.parse(self.text)

    @property
    def module(self) -> str:
        """The dotted name under which it is imported."""
        parts = ["stoker", *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def is_in(self, *places: str) -> bool:
        """Whether the file is one of `places` or lies in one of them (written with a slash)."""
        return any(
            self.path.startswith(place) if place.endswith("/") else self.path == place
            for place in places
        )

    def at(self, node: ast.AST) -> str:
        """Where `node` is, for a message."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


def sources() -> list[Source]:
    """Return every Python file of the package."""
    return [
        Source(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def long_modules(source: Source) -> Iterator[str]:
    """A module has at most 400 lines; migrations, which are never edited again, may have more."""
    lines = source.text.count("\n")
    if lines > MODULE_LINES and not source.is_in("store/migrations/"):
        yield f"{source.path}: {lines} lines; {MODULE_LINES} are allowed"


def long_functions(source: Source) -> Iterator[str]:
    """A function has at most 50 statements, those of functions inside it included."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1
            statements -= ast.get_docstring(node) is not None
            if statements > FUNCTION_STATEMENTS and not source.is_in("store/migrations/"):
                yield f"{source.at(node)}: `{node.name}` has {statements} statements"


def empty_names(source: Source) -> Iterator[str]:
    """No module or folder is called after nothing in particular."""
    for part in source.path.removesuffix(".py").split("/"):
        if part.strip("_").lower() in BANNED_NAMES:
            yield f"{source.path}: `{part}` says nothing of what it owns"


def missing_docstrings(source: Source) -> Iterator[str]:
    """Every public module says what it owns."""
    name = source.path.rsplit("/", 1)[-1]
    is_public = not name.startswith("_") or name == "__init__.py"
    if is_public and not source.is_in("store/migrations/") and not ast.get_docstring(source.tree):
        yield f"{source.path}: no docstring"


def bare_todos(source: Source) -> Iterator[str]:
    """What is left to do says why it is left."""
    for token in tokenize.generate_tokens(StringIO(source.text).readline):
        found = _REASON.search(token.string) if token.type == tokenize.COMMENT else None
        if found and len(found["reason"].split()) < 3:
            yield f"{source.path}:{token.start[0]}: `{token.string}` gives no reason"


def databases_outside_store(source: Source) -> Iterator[str]:
    """All SQL is in `store`: nothing else imports a database's library."""
    if source.is_in("store/"):
        return
    for node in ast.walk(source.tree):
        for name in _imported(node):
            if name.split(".")[0] in DATABASE_MODULES:
                yield f"{source.at(node)}: imports `{name}`; only store does"


def coroutines_outside_web(source: Source) -> Iterator[str]:
    """The core has one colour: only `web` is asynchronous."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef) and not source.is_in("web/"):
            yield f"{source.at(node)}: `{node.name}` is asynchronous"


def second_state_writers(source: Source) -> Iterator[str]:
    """Only `store/apply.py` changes a state: elsewhere no update sets such a column.

    Rows are inserted with their first state, which is no change of one.
    """
    if not source.is_in("store/") or source.is_in("store/apply.py", "store/migrations/"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _sets_state(node):
            yield f"{source.at(node)}: sets `state`; only store/apply.py does"
        if (text := _constant_text(node)) and _text_sets_state(text):
            yield f"{source.at(node)}: SQL that sets `state`; only store/apply.py does"


def broad_excepts(source: Source) -> Iterator[str]:
    """Every `except` that takes all errors and does not pass them on. Few may, in all the package."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        is_broad = any(
            kind is None
            or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
            for kind in kinds
        )
        passes_on = any(isinstance(inner, ast.Raise) and not inner.exc for inner in ast.walk(node))
        if is_broad and not passes_on:
            yield f"{source.at(node)}: takes every error"


def import_cycle(files: list[Source], *, in_all: bool = False) -> list[str]:
    """Return the modules of one cycle of imports made when they are loaded; none if there is none.

    With `in_all`, of all imports: those for types only, and those made where they are used.
    """
    known = {source.module for source in files}
    graph = {source.module: set(_loaded(source, known, in_all=in_all)) for source in files}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module]
    return []


def _loaded(source: Source, known: set[str], *, in_all: bool) -> Iterator[str]:
    """Modules of the package whose loading this one waits for: imports at its top level, or all."""
    for node in ast.walk(source.tree) if in_all else source.tree.body:
        names = set(_imported(node))
        if isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` loads the module, not only the package.
            names = {
                f"{node.module}.{alias.name}"
                if f"{node.module}.{alias.name}" in known
                else node.module
                for alias in node.names
            }
        yield from names & known - {source.module}


def _sets_state(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in {
        "values",
        "ordered_values",
    }:
        return False
    if _begins_with(call, "insert"):
        return False
    names = [keyword.arg for keyword in call.keywords]
    for argument in call.args:
        if isinstance(argument, ast.Dict):
            names += [_column(key) for key in argument.keys]
        elif isinstance(argument, ast.Tuple) and argument.elts:
            names.append(_column(argument.elts[0]))
    return "state" in names


def _begins_with(call: ast.Call, name: str) -> bool:
    """Whether the chain of calls that ends in `call` has one of that name: `insert(task).values()`."""
    node: ast.expr = call
    while True:
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute):
            if node.attr == name:
                return True
            node = node.value
        else:
            return isinstance(node, ast.Name) and node.id == name


def _column(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return node.attr if isinstance(node, ast.Attribute) else None


def _constant_text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "?" for part in node.values]
        return "".join(str(part) for part in parts)
    return None


def _text_sets_state(text: str) -> bool:
    return any(
        _STATE_ASSIGNED.search(found["assignments"].strip()) for found in _UPDATE.finditer(text)
    )
