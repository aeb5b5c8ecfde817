"""Writes the parts of the reference that follow from the code into their pages.

A page written by hand has a block between two comments; what is between them is generated, and
committed, so that the pages can be read in a clone. `make docs` brings them up to date, and a test
holds that they are. A file is written only when it changes, so that Sphinx rebuilds no more than it
must.
"""

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_reference import command_reference
from file_reference import file_reference
from json_reference import json_reference, json_schemas
from sphinx.errors import ExtensionError
from state_diagram import draw

from stoker import errors
from stoker.model.states import AttemptState, ItemState, PilotState, State, TaskState
from stoker.model.transitions import TRANSITIONS


def transition_diagram() -> str:
    """The state machine of a task, as a picture in the page itself."""
    return f"```{{raw}} html\n{draw(TRANSITIONS, 'The states of a task')}\n```\n"


def transition_table() -> str:
    """Every transition with where it leads, and who fires it."""
    rows = ["| transition | from | to | when |", "| --- | --- | --- | --- |"]
    for transition in TRANSITIONS:
        sources = ", ".join(state.word for state in TaskState if state in transition.sources)
        fence = " *Fenced.*" if transition.fenced else ""
        rows.append(
            f"| `{transition.name}` | {sources} | {transition.target.word} | {transition.doc}{fence} |"
        )
    return "\n".join(rows) + "\n"


_STATES = (
    ("Task", TaskState),
    ("Attempt", AttemptState),
    ("Item", ItemState),
    ("Pilot", PilotState),
)


def state_tables() -> str:
    """The states of tasks, attempts and items, with what each means."""
    sections = []
    for title, states in _STATES:
        rows = [f"## {title}", "", _first_line(states), "", "| state | |", "| --- | --- |"]
        meanings = _comments(states)
        rows += [f"| `{state.word}` | {meanings.get(state.name, '')} |" for state in states]
        sections.append("\n".join(rows))
    return "\n\n".join(sections) + "\n"


def error_table() -> str:
    """Every error with its exit code, a subclass indented under its class."""
    rows = ["| error | exit code | |", "| --- | --- | --- |"]
    for depth, kind in _tree(errors.StokerError, 0):
        indent = "&emsp;" * depth
        rows.append(f"| {indent}`{kind.__name__}` | {kind.exit_code} | {_first_line(kind)} |")
    return "\n".join(rows) + "\n"


def _tree(kind: type[errors.StokerError], depth: int) -> list[tuple[int, type[errors.StokerError]]]:
    found = [(depth, kind)]
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:  # others are of single modules, loaded or not
            found += _tree(below, depth + 1)
    return found


def _first_line(described: object) -> str:
    return (inspect.getdoc(described) or "").split("\n\n")[0].replace("\n", " ")


def _comments(states: type[State]) -> dict[str, str]:
    """What the comment beside each member says."""
    lines = inspect.getsource(states)
    return dict(re.findall(r"^\s+([A-Z_]+) = \d+  # (.*)$", lines, re.MULTILINE))


BLOCKS: dict[str, Callable[[], str]] = {
    "diagram": transition_diagram,
    "transitions": transition_table,
    "states": state_tables,
    "errors": error_table,
    "commands": command_reference,
    "json": json_reference,
    "stoker-toml": file_reference,
}
SCHEMAS = "reference/json-schemas.json"
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end of \2 -->\n)", re.DOTALL)


def outdated_files(docs: Path) -> dict[Path, str]:
    """Return each file that differs from what the code says now, with its right text."""
    wanted = {docs / SCHEMAS: json_schemas()}
    for folder in ("explanation", "reference"):
        for path in sorted((docs / folder).glob("*.md")):
            wanted[path] = _BLOCK.sub(_filled, path.read_text(encoding="utf-8"))
    return {
        path: text
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def _filled(found: re.Match[str]) -> str:
    return f"{found[1]}\n{BLOCKS[found[2]]().strip()}\n\n{found[3]}"


def write_pages(app: Any) -> None:
    """Every generated block says what the code says now. In CI, ExtensionError if one did not."""
    outdated = outdated_files(Path(app.srcdir))
    if outdated and os.environ.get("CI"):
        names = ", ".join(str(path) for path in outdated)
        raise ExtensionError(f"out of date: {names}; run `make docs` and commit what it writes")
    for path, text in outdated.items():
        path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
