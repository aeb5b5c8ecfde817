"""`stoker init`."""

from pathlib import Path

import click

from stoker.cli.render import say
from stoker.cli.scope import Scope, command
from stoker.errors import Conflict


@command()
@click.argument("folder", required=False, metavar="[FOLDER]")
def init(scope: Scope, folder: str | None) -> None:
    """Write a starter `stoker.toml` here.

    It works as it is on the files in a folder `data`, and says in its comments what to change. A file
    that is there already is never overwritten.
    """
    from stoker.project.project_path import check_name
    from stoker.spec.initial import initial_text

    place = Path(folder or scope.project_path or ".").absolute()
    file = place if place.name == "stoker.toml" else place / "stoker.toml"
    check_name(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(initial_text(file.parent.name))
    except FileExistsError:
        raise Conflict(f"`{file}` is there already, and stays as it is") from None
    say(f"wrote `{file}`; put files into `data` beside it, or edit it; then `stoker run`")
