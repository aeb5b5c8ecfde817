"""`stoker report`: the state as one page that needs nothing else."""

import os
import sys
from pathlib import Path

import click

from stoker.cli.render import say
from stoker.cli.scope import Scope, command
from stoker.errors import UserError


@command()
@click.option("--out", required=True, metavar="FILE|-", help="Where to write the page.")
def report(scope: Scope, out: str) -> None:
    """Write the state as one self-contained page.

    It is the overview of the web service: counts of every pipeline and step, failures by cause with what
    to do, sources, pools and workers. One HTML file without scripts and of at most 2 MB, to be mailed or
    put on a web server.
    """
    from stoker.web.panel.report import report_of_project

    with scope.reading() as project:
        content = report_of_project(project)
    if out == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        _write(Path(out), content)
    except OSError as error:
        raise UserError(f"`{out}` cannot be written: {error.strerror}") from None
    say(f"wrote `{out}`")


def _write(path: Path, content: bytes) -> None:
    """The file is there as a whole, or as it was: a web server may send it at any moment."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a pipe or a device; a folder is an error
        return
    target = path.resolve()
    beside = target.with_name(f".{target.name[:200]}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
