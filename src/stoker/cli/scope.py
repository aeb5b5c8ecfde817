"""What every command shares: which project it is about, and options that mean the same everywhere."""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stoker.cli.completing import FILE, PIPELINE, STATE, STEP, keys_of, offered
from stoker.cli.ending import answered
from stoker.errors import NotFound, UserError
from stoker.model.bounds import Bounds
from stoker.model.selection import Selection

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from stoker.project import Project

_UNKNOWN = 3  # keys of which each is named
Read = TypeVar("Read")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


@dataclass(slots=True)
class Scope:
    """What was said before and beside a command's own options."""

    project_path: str | None = None
    began_s: float | None = None  # when the process of a guarded command was started

    def reading(self) -> "Project":
        """Return the project for a command that reads only the store."""
        from stoker.project import open_project

        return open_project(self.project_path, is_checked=False)

    def working(self) -> "Project":
        """Return the project for a worker: its settings are checked, its pipelines not looked at."""
        project = self.reading()
        project.worker_settings  # noqa: B018 - reads the file, and raises where it cannot be used
        return project

    def project(self, *, is_quiet: bool = False) -> "Project":
        """Return the project that the command is about; say what is wrong in included files."""
        from stoker.project import open_project

        project = open_project(self.project_path)
        if project.loaded.problems and not is_quiet:
            for problem in project.loaded.problems:
                click.echo(f"warning: {problem}", err=True)
            click.echo("warning: the pipelines with these problems are left out", err=True)
        return project


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def be_sure(question: str) -> None:
    """Ask a person; end the command, with nothing done, unless the answer is yes."""
    if not click.confirm(question, err=True):
        click.echo("nothing was done", err=True)
        raise click.exceptions.Exit(0)


def _remember_project(context: click.Context, _param: click.Parameter, value: str | None) -> None:
    scope = context.ensure_object(Scope)
    if value is not None:
        scope.project_path = value


project_option = click.option(
    "--project",
    type=FILE,
    metavar="PATH",
    envvar="STOKER_PROJECT",
    expose_value=False,
    is_eager=True,
    callback=_remember_project,
    help="The project's folder, or its stoker.toml.",
)
_project_again = click.option(
    "--project",
    type=FILE,
    metavar="PATH",
    expose_value=False,
    is_eager=True,
    callback=_remember_project,
    hidden=True,
)


def command(
    *, is_guarded: bool = False, **attributes: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command that takes `--project` after its name too, and gets the scope as first argument.

    A guarded one works in a child of this process, which watches over it: if it is killed, nothing
    that it had started is left, and it is begun again.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        if is_guarded:
            function = _guarded(function)
        name = attributes.pop("name", function.__name__.removesuffix("_").replace("_", "-"))
        made: click.Command = click.command(name, **attributes)(
            _project_again(click.pass_obj(function))
        )
        return made

    return decorate


def group(*, cls: type[click.Group] = click.Group) -> Callable[[Callable[[], None]], click.Group]:
    """A command that only holds others, for one noun; it takes `--project` after its name too."""

    def decorate(function: Callable[[], None]) -> click.Group:
        return _project_again(cls(function.__name__, callback=function, help=function.__doc__))

    return decorate


def _guarded(function: Callable[..., Any]) -> Callable[..., int]:
    @wraps(function)
    def watched(scope: Scope, *args: Any, **kwargs: Any) -> int:
        from stoker.work.term import process_began_s
        from stoker.work.warden import guard

        scope.began_s = process_began_s()
        return guard(
            lambda has_said: answered(lambda: function(scope, *args, **kwargs), has_said=has_said)
        )

    return watched


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and do nothing."
)
reason_option = click.option(
    "--reason", metavar="TEXT", help="Why; kept in the record beside your name."
)
list_options = (  # of the verbs that take what a list names
    click.option(
        "--from",
        "from_file",
        type=FILE,
        metavar="FILE|-",
        help="Of the items in this list: keys, or paths of items or error folders, one a line.",
    ),
    click.option("-0", "nul", is_flag=True, help="In the list, a NUL follows each name."),
)


if TYPE_CHECKING:  # generic since click 8.5 only
    _StringType = click.ParamType[str]
    _NumberType = click.ParamType[float]
    _NamesType = click.ParamType[tuple[str, ...]]
else:
    _StringType = _NumberType = _NamesType = click.ParamType


class Key(_StringType):
    """A key or glob; a name with control characters or odd bytes is written as its key."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's
        """Return the key that stands for this name."""
        from stoker.model.item import key_from_name

        return key_from_name(os.fsdecode(value) if isinstance(value, bytes) else str(value))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Return the keys of items that begin so."""
        return offered(keys_of, ctx, param, incomplete)


KEY = Key()


def selection_options(
    *, with_keys: bool = True, with_pipeline: bool = True
) -> Callable[[Decorated], Decorated]:
    """The one grammar of selection, handed to the command as `selection`."""

    def decorate(function: Decorated) -> Decorated:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            selection = Selection(
                keys=tuple(kwargs.pop("keys")) if with_keys else (),
                pipeline=kwargs.pop("pipeline", None),
                steps=tuple(kwargs.pop("steps")),
                states=_words(kwargs.pop("states")),
                from_key=kwargs.pop("from_key"),
                to_key=kwargs.pop("to_key"),
                match=kwargs.pop("match"),
                where=kwargs.pop("where"),
                by=kwargs.pop("by"),
                cause=kwargs.pop("cause"),
            )
            return function(*args, selection=selection, **kwargs)

        options = [
            click.option(
                "--step", "steps", type=STEP, metavar="NAME", multiple=True, help="Of these steps."
            ),
            click.option(
                "--state",
                "states",
                type=STATE,
                metavar="STATE",
                multiple=True,
                help="In these states.",
            ),
            click.option("--from-key", type=KEY, metavar="KEY", help="From this key on, by bytes."),
            click.option(
                "--to-key",
                type=KEY,
                metavar="KEY",
                help="Up to this key, and all keys that begin with it.",
            ),
            click.option("--match", metavar="TEXT", help="Whose cause or reason holds this text."),
            click.option(
                "--where",
                metavar="EXPR",
                help="For which this is true: CEL over key, params, meta, values, state, size.",
            ),
            click.option("--by", metavar="USER", help="Registered by this person."),
            click.option(
                "--cause", metavar="TEXT", help="With this cause, as `stoker failures` prints it."
            ),
        ]
        if with_pipeline:
            options.insert(
                0,
                click.option("--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline."),
            )
        if with_keys:
            options.insert(0, click.argument("keys", nargs=-1, type=KEY, metavar="[KEY|GLOB]..."))
        decorated: Any = wrapped
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]  # what options return has no type

    return decorate


def _words(values: tuple[str, ...]) -> tuple[str, ...]:
    """`--state failed,held` means the same as naming the option twice."""
    words = tuple(word for value in values for word in value.split(",") if word)
    if values and not words:
        raise UserError("`--state` names no state, and would choose all")
    return words


def tell_unknown_keys(project: "Project", selection: Selection) -> None:
    """Say which keys of a selection no item has: the rest may have been selected all the same."""
    from stoker.cli.render import say
    from stoker.store.selection import is_glob

    keys = {key for key in selection.keys if not is_glob(key)}
    if not keys:
        return
    found = Selection(keys=tuple(keys), pipeline=selection.pipeline)
    unknown = keys - {row.item for row in project.each_item(found)}
    for key in sorted(unknown)[:_UNKNOWN]:
        try:
            known = project.show(key, pipeline=selection.pipeline).item.item
            say(f"`{key}` is the path of item `{known}`; name it by that")
        except NotFound as error:
            say(str(error))
    if len(unknown) > _UNKNOWN:
        say(f"and {len(unknown) - _UNKNOWN:,} more keys that no item has")


def by_part(
    project: "Project", key: str, pipeline: str | None, read: Callable[[str, str | None], Read]
) -> Read:
    """Return what `read` returns for a key, or for the only item that a glob or a part names.

    What is exactly so called comes first. A person sees which item was taken.
    """
    from stoker.cli.render import say

    try:
        return read(key, pipeline)
    except NotFound:
        found = project.find_key(key, pipeline=pipeline)
        if found is None:
            raise
    say(f"item `{found[1]}` of `{found[0]}`")
    return read(found[1], found[0])


def whole(bounds: Bounds) -> click.IntRange:
    """Return the type of an option that is a whole number within bounds."""
    return click.IntRange(int(bounds.least), int(bounds.most))


class Duration(_NumberType):
    """A time such as `90s`, `2h` or `30d`, in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        from stoker.spec.quantities import parse_time

        if isinstance(value, int | float):
            return float(value)
        try:
            return float(parse_time(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


DURATION = Duration()


class Tags(_NamesType):
    """Names joined by commas."""

    name = "tags"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names."""
        if isinstance(value, tuple):
            return value
        names = tuple(word.strip() for word in value.split(",") if word.strip())
        for name in names:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                self.fail(f"`{name}` is not a name: lower-case letters, digits and `_`", param, ctx)
        return names


TAGS = Tags()
