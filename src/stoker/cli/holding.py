"""What `stoker batch` and `stoker site` have in common: one is held, and released."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stoker.cli.render import data, json_line, say
from stoker.cli.scope import dry_run_option, json_option, reason_option

if TYPE_CHECKING:
    from stoker.project.verbs.batch import BatchAnswer
    from stoker.project.verbs.sites import SiteAnswer

_C = TypeVar("_C", bound=Callable[..., Any])
name_argument = click.argument("name", metavar="NAME")


def change_options(function: _C) -> _C:
    """Give a command the argument and options of all that change one of them."""
    for option in (json_option, reason_option, dry_run_option, name_argument):
        function = option(function)
    return function


def tell(
    done: "BatchAnswer | SiteAnswer", name: str, verb: str, otherwise: str, *, as_json: bool
) -> None:
    """Print what has become of it, or why nothing has."""
    if as_json:
        json_line(done)
    elif not done.changed:
        say(f"nothing changes: `{name}` {otherwise}")
    else:
        data(f"`{name}` {'would be' if done.dry_run else 'is'} {verb}")
