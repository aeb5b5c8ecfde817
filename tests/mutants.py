"""Small faults put into the code, one at a time, to see whether the nearest tests notice.

`python tests/mutants.py [--sample N] [--seed N] [PATH…]` draws N of all such faults, runs for each
the tests that execute its line, without the databases on servers, and prints the survivors and the
score of each module. A survivor is a missing test, or a fault that makes no difference. Nothing is
written: a fault is put in while its module is imported, in a process of its own.
"""

import argparse
import ast
import copy
import importlib.machinery
import importlib.util
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis  # noqa: F401 - these are loaded once, and not by each mutant
import pydantic  # noqa: F401
import pytest
import sqlalchemy  # noqa: F401

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src"
PUBLISHING = ("test_publish", "test_replacing", "test_trees", "test_picking", "test_scratch")
RECORDING = (
    "test_life_of_a_task",
    "test_fence",
    "test_control",
    "test_publications",
    "test_sharing",
)
UNIT = [TESTS / "unit"]
# Code, and the tests that are nearest to it.
NEAREST: dict[str, list[Path]] = {
    "model": UNIT,
    "spec": UNIT,
    **{
        f"work/{name}.py": [TESTS / "integration" / "work" / f"{test}.py" for test in PUBLISHING]
        for name in ("publish", "placing", "standing", "tree", "copying", "outputs", "measure",
                     "durable", "removal", "scratch")
    },
    **{
        name: [TESTS / f"store/{test}.py" for test in RECORDING]
        for name in ("store/apply.py", "store/ends/finish.py")
    },
}  # fmt: skip
ELSEWHERE = "not postgresql and not mariadb"
FEW = 60  # tests that a mutant is shown to first
LIMIT_S = 120  # for the tests of one mutant; a fault that makes them hang is noticed

Change = Callable[[Any], ast.AST]


# ---------------------------------------------------------------------------------------- the faults

_OTHER: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,),
    ast.Or: (ast.And,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.FloorDiv,),
    ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,), ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,), ast.Break: (ast.Continue,), ast.Continue: (ast.Break,),
}  # fmt: skip
_PAIRS = ("min max", "any all", "startswith endswith", "partition rpartition", "append extend")
_NAMES = {a: b for pair in _PAIRS for a, b in (pair.split(), reversed(pair.split()))}


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """Yield what can go wrong at this node: in words, and as what makes another node of it."""
    for kind in (_operators, _values, _collections, _flow, _names):
        yield from kind(node)


def _operators(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Compare(ops=[op]):
            for new in _OTHER.get(type(op), ()):
                yield new.__name__, lambda one, new=new: _with(one, ops=[new()])
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op):
            for new in _OTHER.get(type(op), ()):
                yield new.__name__, lambda one, new=new: _with(one, op=new())
        case ast.UnaryOp(op=ast.Not()):
            yield "without `not`", lambda one: one.operand


def _values(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Constant(value=bool(value)):
            yield str(not value), lambda _: ast.Constant(not value)
        case ast.Constant(value=int(value)):
            for other in (value + 1, value - 1):
                yield str(other), lambda _, other=other: ast.Constant(other)
        case ast.Constant(value=str(value)) if value and " " not in value:
            yield "another text", lambda _: ast.Constant(f"other {value}")


def _collections(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.List(elts=several) | ast.Tuple(elts=several) | ast.Set(elts=several):
            for n in range(len(several)) if len(several) > 1 else ():
                yield f"without `{ast.unparse(several[n])}`", lambda one, n=n: _less(one, n, "elts")
        case ast.Dict(keys=keys):
            for n, key in enumerate(keys):
                what = ast.unparse(key) if key else "**"
                yield f"without `{what}`", lambda one, n=n: _less(one, n, "keys", "values")


def _flow(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            yield "never", lambda one: _with(one, test=ast.Constant(False))
            if not isinstance(node, ast.While):
                yield "always", lambda one: _with(one, test=ast.Constant(True))
        case ast.Return(value=value) if value and ast.unparse(value) not in ("None", "False"):
            yield "return None", lambda _: ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield "left out", lambda _: ast.Pass()
        case ast.Break() | ast.Continue():
            (new,) = _OTHER[type(node)]
            yield new.__name__, lambda _: new()


def _names(node: ast.AST) -> Iterator[tuple[str, Change]]:
    match node:
        case ast.Name(id=name) if name in _NAMES:
            yield _NAMES[name], lambda one: _with(one, id=_NAMES[one.id])
        case ast.Attribute(attr=name) if name in _NAMES:
            yield _NAMES[name], lambda one: _with(one, attr=_NAMES[one.attr])


def _with(node: ast.AST, **fields: Any) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _less(node: ast.AST, n: int, *fields: str) -> ast.AST:
    for name in fields:
        del getattr(node, name)[n]
    return node


def sites(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes in order, but for those that say what is for people or for the type checker."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "ctx", "type_params", "bases"):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or _is_for_people(node):
                continue
            yield node
            if not isinstance(node, ast.Raise):
                yield from sites(node)


def _is_for_people(node: ast.AST) -> bool:
    match node:
        case ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant()) | ast.Tuple(ctx=ast.Store()):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"))):
            return True
        case ast.Call(func=ast.Name(id="NewType" | "hit" | "TypeVar" | "cast")):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


@dataclass(frozen=True)
class Mutant:
    """One fault: in which file, at which of its nodes, and which of the changes that are possible there."""

    path: Path
    node: int
    change: int
    line: int
    text: str

    def tree(self) -> ast.Module:
        """Return the module with the fault in it."""
        tree = ast.parse(self.path.read_text())
        wrong = list(sites(tree))[self.node]
        change = list(changes(wrong))[self.change][1]
        return ast.fix_missing_locations(_Replace(wrong, change(copy.deepcopy(wrong))).visit(tree))

    def __str__(self) -> str:
        return f"{self.path.relative_to(SOURCE)}:{self.line}: {self.text}"


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is not self.old:
            return self.generic_visit(node)
        return ast.copy_location(self.new, node) if hasattr(node, "lineno") else self.new


def mutants(path: Path) -> Iterator[Mutant]:
    """Yield every fault that can be put into a file."""
    text = path.read_text()
    for number, node in enumerate(sites(ast.parse(text))):
        for n, (what, _) in enumerate(changes(node)):
            line = getattr(node, "lineno", 0)
            shown = " ".join(ast.unparse(node).split())[:70]
            yield Mutant(path, number, n, line, f"`{shown}`: {what}")


# ----------------------------------------------------------------------------------------- the tests


class _Finder:
    """Imports one module with a fault in it."""

    def __init__(self, mutant: Mutant) -> None:
        relative = mutant.path.relative_to(SOURCE).with_suffix("")
        self.name = ".".join(part for part in relative.parts if part != "__init__")
        self.mutant = mutant

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        tree = self.mutant.tree()
        path = str(self.mutant.path)

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, _name: str) -> Any:
                return compile(tree, path, "exec")

        return importlib.util.spec_from_file_location(name, path, loader=Loader(name, path))


class _Chosen:
    """A plugin of pytest: only these tests."""

    def __init__(self, tests: set[str]) -> None:
        self.tests = tests

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.tests]


class _Seen:
    """A plugin of pytest: which tests execute which lines of these files, and pass."""

    def __init__(self, files: set[str]) -> None:
        self.files = files
        self.tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.now = ""
        self.failed: set[str] = set()

    @property
    def passed(self) -> dict[tuple[str, int], set[str]]:
        return {line: tests - self.failed for line, tests in self.tests.items()}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:  # it does not bear to be looked at, or fails without a fault
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.now = item.nodeid
        threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]

    def trace(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self.line if frame.f_code.co_filename in self.files else None

    def line(self, frame: FrameType, _event: str, _argument: object) -> Any:
        self.tests[frame.f_code.co_filename, frame.f_lineno].add(self.now)
        return self.line


def _pytest(paths: Sequence[Path], *plugins: object, most_failures: int = 1) -> int:
    quiet = (
        "-q",
        f"--maxfail={most_failures}",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--tb=no",
    )
    loaded = "ignore:Module already imported"  # which is why these tests are quick
    more = (
        "-W",
        loaded,
        "-k",
        ELSEWHERE,
        "--timeout",
        str(LIMIT_S),
        "-n",
        "0",
        f"--rootdir={TESTS.parent}",
    )
    return int(pytest.main([*quiet, *more, *map(str, paths)], [*plugins]))


def _in_child(work: Callable[[], int], *, limit_s: float) -> int | None:
    """Return what `work` returns in a process of its own; None if it does not end in time."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def tests_by_line(paths: Sequence[Path], files: set[str]) -> dict[tuple[str, int], set[str]]:
    """Return which tests below these paths execute which lines of the files."""
    with tempfile.NamedTemporaryFile() as file:

        def work() -> int:
            seen = _Seen(files)
            _pytest(paths, seen, most_failures=0)
            Path(file.name).write_bytes(pickle.dumps(seen.passed))
            return 0

        if _in_child(work, limit_s=1800) != 0:
            raise SystemExit(f"the tests cannot be run: {' '.join(map(str, paths))}")
        return pickle.loads(Path(file.name).read_bytes())


def in_turn(mutant: Mutant, tests: set[str]) -> Iterator[set[str]]:
    """Yield a few of the tests, first those of the module's own file, and then the rest."""

    def order(test: str) -> tuple[bool, str]:
        return mutant.path.stem not in test.partition("::")[0], test

    in_order = sorted(tests, key=order)
    yield set(in_order[:FEW])
    if in_order[FEW:]:
        yield set(in_order[FEW:])


def survives(mutant: Mutant, tests: set[str]) -> bool:
    """Whether none of these tests notices the fault."""
    files = sorted({TESTS.parent / test.partition("::")[0] for test in tests})

    def work() -> int:
        sys.meta_path.insert(0, _Finder(mutant))
        return _pytest(files, _Chosen(tests))

    return _in_child(work, limit_s=LIMIT_S) == 0


def code(paths: Sequence[str]) -> dict[Path, list[Path]]:
    """Return the files that are meant, all where no path is given, each with its nearest tests."""
    found = {}
    for name, tests in NEAREST.items():
        place = SOURCE / "stoker" / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            inside = str(path.relative_to(SOURCE / "stoker"))
            if not paths or any(inside.startswith(one) for one in paths):
                found[path] = tests
    return found


def main() -> int:
    """Draw faults, and print the survivors and the score."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=15, help="for the faults, after the first run"
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="below src/stoker, as `model/gate`"
    )
    options = parser.parse_args()
    nearest = code(options.paths)
    possible = [one for path in nearest for one in mutants(path)]
    drawn = random.Random(options.seed).sample(possible, min(options.sample, len(possible)))
    by_line: dict[tuple[str, int], set[str]] = defaultdict(set)
    of_module: dict[str, set[str]] = defaultdict(set)
    files = {str(one.path) for one in drawn}
    for paths in {tuple(nearest[one.path]) for one in drawn}:
        for (path, line), tests in tests_by_line(paths, files).items():
            by_line[path, line] |= tests
            of_module[path] |= tests
    total: Counter[Path] = Counter()
    noticed: Counter[Path] = Counter()
    until_s = time.monotonic() + options.minutes * 60
    for mutant in drawn:
        if time.monotonic() > until_s:
            break
        path = str(mutant.path)
        tests = by_line.get((path, mutant.line)) or of_module[path]
        total[mutant.path] += 1
        if not all(survives(mutant, some) for some in in_turn(mutant, tests)):
            noticed[mutant.path] += 1
            continue
        sys.stdout.write(f"SURVIVED {mutant} ({len(tests)} tests)\n")
        sys.stdout.flush()
    for path, n in sorted(total.items()):
        sys.stdout.write(f"{noticed[path]:4} of {n:4} noticed: {path.relative_to(SOURCE)}\n")
    sys.stdout.write(
        f"{noticed.total()} of {total.total()} noticed; {len(possible)} are possible\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
