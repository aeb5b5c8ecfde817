"""`stoker which`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_bytes, human_time, json_line, plural, visible
from stoker.cli.scope import Scope, command, json_option

if TYPE_CHECKING:
    from stoker.store.rows import MakerRow

_NAMED = 20  # members in words


@command()
@click.argument("file", metavar="FILE")
@json_option
def which(scope: Scope, file: str, as_json: bool) -> None:
    """Name the attempt that made a file, and the archive volumes that hold it.

    Of a file that was made of a group, also the members that the group had then.
    This also works for a file in a folder that was published as a whole, and for one that is only in a
    volume by now. `SITE:PATH` is a file at another site.
    """
    with scope.reading() as project:
        found = project.which(file)
    if as_json:
        json_line(found)
    else:
        _tell(found)


def _tell(found: "MakerRow") -> None:
    data(f"step {found.step} of {visible(found.item)} ({found.pipeline}), attempt {found.number}")
    data(f"  id       {found.id}")
    data(f"  state    {found.state}" + (" (adopted)" if found.kind == "adopted" else ""))
    data(
        f"  ended    {human_time(found.ended_at)}"
        + (f" on {visible(found.ran_on)}" if found.ran_on else "")
    )
    data(f"  version  {found.pipeline_version} of the pipeline")
    for output in found.outputs:
        size = human_bytes(output.size_bytes)
        data(f"  output   {output.name}: {visible(output.path)} ({size}, {output.checksum})")
    if found.command:
        data(f"  command  {visible(found.command)}")
    if found.members is not None:
        named = ", ".join(one.item for one in found.members[:_NAMED])
        more = f" and {len(found.members) - _NAMED:,} more" if len(found.members) > _NAMED else ""
        data(visible(f"  made of  {plural(len(found.members), 'member')}: {named}{more}"))
    for one in found.volumes:
        newer = "; a later volume holds a newer version of the item" if one.superseded else ""
        data(f"  volume   {visible(one.volume)} of {one.pipeline}{newer}")
