"""Writes the pages of the reference that follow from the code, before Sphinx reads its sources.

Each goes to `reference/_generated/`, and a page written by hand includes it. A page is written only
when it changes, so that Sphinx rebuilds no more than it must.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from command_reference import command_reference
from file_reference import file_reference
from json_reference import json_reference, json_schemas
from state_diagram import draw

from stoker import errors
from stoker.model.states import AttemptState, ItemState, State, TaskState
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


def state_tables() -> str:
    """The states of tasks, attempts and items, with what each means."""
    sections = []
    for title, states in (("Task", TaskState), ("Attempt", AttemptState), ("Item", ItemState)):
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
        found += _tree(below, depth + 1)
    return found


def _first_line(described: object) -> str:
    return (inspect.getdoc(described) or "").split("\n\n")[0].replace("\n", " ")


def _comments(states: type[State]) -> dict[str, str]:
    """What the comment beside each member says."""
    lines = inspect.getsource(states)
    return dict(re.findall(r"^\s+([A-Z_]+) = \d+  # (.*)$", lines, re.MULTILINE))


PAGES: dict[str, Callable[[], str]] = {
    "diagram.md": transition_diagram,
    "transitions.md": transition_table,
    "states.md": state_tables,
    "errors.md": error_table,
    "commands.md": command_reference,
    "json.md": json_reference,
    "json-schemas.json": json_schemas,
    "stoker-toml.md": file_reference,
}


def write_pages(app: Any) -> None:
    """Every generated page says what the code says now."""
    folder = Path(app.srcdir) / "reference" / "_generated"
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        path = folder / name
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this when it loads the extension."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
