"""What the shell offers when a person presses Tab: pipelines, steps, keys, states and files.

Each is a type of click's that leaves the word as it is. Nothing is printed and nothing fails: where
the project cannot be read, nothing is offered. A key is offered only if the shell takes it as it
stands, so that no name from outside is ever run.
"""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click

from stoker.errors import StokerError
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from stoker.project import Project

    _StringType = click.ParamType[str]
else:
    _StringType = click.ParamType

MOST = 200  # keys that are offered at once
_PLAIN = re.compile(r"[A-Za-z0-9_./+,@%-]+")  # which no shell changes, nor takes for two words
_OF_PIPELINE = ("pipeline", "name")  # the parameters of commands that hold a pipeline's name

Words = Callable[["Project", str | None, str], Iterable[str]]


class Word(_StringType):
    """A word of the command line, with what may be offered for it."""

    def __init__(self, name: str, words: Words) -> None:
        self.name = name
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Return what begins with `incomplete`; nothing where the project cannot be read."""
        return offered(self._words, ctx, param, incomplete)


def offered(
    words: Words, ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Return the words that begin with `incomplete`, but for those that were said already."""
    from click.shell_completion import CompletionItem

    from stoker.project import open_project

    pipeline = next((ctx.params[name] for name in _OF_PIPELINE if ctx.params.get(name)), None)
    said = ctx.params.get(param.name or "")
    before = said if isinstance(said, tuple) else ()
    path = getattr(ctx.obj, "project_path", None)  # of a `Scope`, where `--project` was said
    try:
        with open_project(path, is_checked=False) as project:
            found = [
                word
                for word in sorted(islice(words(project, pipeline, incomplete), MOST))
                if word.startswith(incomplete) and word not in before and _PLAIN.fullmatch(word)
            ]
    except (StokerError, OSError):
        return []
    return [CompletionItem(word) for word in found]


def _pipelines(project: "Project", _pipeline: str | None, _begun: str) -> Iterable[str]:
    return project.pipelines


def _steps(project: "Project", pipeline: str | None, _begun: str) -> Iterable[str]:
    known = project.pipelines
    chosen = [known[pipeline]] if pipeline and pipeline in known else list(known.values())
    return dict.fromkeys(step.name for one in chosen for step in one.steps)


def keys_of(project: "Project", pipeline: str | None, begun: str) -> Iterable[str]:
    """Yield the keys of items that begin so."""
    chosen = Selection(pipeline=pipeline, from_key=begun or None, to_key=begun or None)
    return dict.fromkeys(row.item for row in islice(project.each_item(chosen), MOST))


def _states(_project: "Project", _pipeline: str | None, _begun: str) -> Iterable[str]:
    return {state.word for kind in (TaskState, ItemState, AttemptState) for state in kind}


class File(_StringType):
    """A path, which the shell itself completes."""

    name = "path"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Leave it to the shell."""
        from click.shell_completion import CompletionItem

        del ctx, param
        return [CompletionItem(incomplete, type="file")]


PIPELINE = Word("pipeline", _pipelines)
STEP = Word("step", _steps)
STATE = Word("state", _states)
FILE = File()
