"""`stoker which`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_bytes, human_time, json_line, visible
from stoker.cli.scope import Scope, command, json_option

if TYPE_CHECKING:
    from stoker.store.rows import AttemptRow


@command()
@click.argument("file", metavar="FILE")
@json_option
def which(scope: Scope, file: str, as_json: bool) -> None:
    """Name the attempt that made a file.

    This also works for a file in a folder that was published as a whole.
    """
    with scope.reading() as project:
        found = project.which(file)
    if as_json:
        json_line(found)
    else:
        _tell(found)


def _tell(found: "AttemptRow") -> None:
    data(f"step {found.step} of {visible(found.item)} ({found.pipeline}), attempt {found.number}")
    data(f"  id       {found.id}")
    data(f"  state    {found.state}" + (" (adopted)" if found.kind == "adopted" else ""))
    data(f"  ended    {human_time(found.ended_at)}" + (f" on {found.host}" if found.host else ""))
    data(f"  version  {found.pipeline_version} of the pipeline")
    for output in found.outputs:
        size = human_bytes(output.size_bytes)
        data(f"  output   {output.name}: {visible(output.path)} ({size}, {output.checksum})")
    if found.command:
        data(f"  command  {visible(found.command)}")
