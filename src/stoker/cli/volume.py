"""`stoker volume`: packing archive volumes, verifying them, and finding files in them."""

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from stoker.cli.ending import EXIT_FAILED
from stoker.cli.render import data, human_bytes, json_line, plural, say, table, visible
from stoker.cli.scope import Scope, command, dry_run_option, json_option
from stoker.cli.scope import group as group_of_commands
from stoker.errors import NotFound, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stoker.volumes.locate import Located

_SHOWN = 20  # problems


@group_of_commands()
def volume() -> None:
    """Pack archive volumes, verify them, and find files in them."""


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5 only
    """A size such as `10G`, in bytes."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the bytes."""
        from stoker.spec.quantities import parse_size

        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@command()
@click.argument("members", metavar="MEMBERS")
@click.argument("folder", metavar="FOLDER")
@click.option(
    "--block-size", type=_Size(), default="10G", metavar="SIZE", help="Of a block; 10G by default."
)
@click.option("--index", metavar="FILE", help="Where the index is to be besides.")
@click.option(
    "--name", metavar="NAME", help="Of the volume; in a step, the group's key by default."
)
@dry_run_option
@json_option
def pack(
    _scope: Scope,
    members: str,
    folder: str,
    block_size: int,
    index: str | None,
    name: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack the members of a volume into blocks.

    MEMBERS is `{members}` of a step. FOLDER then holds tar files of whole members, each readable without
    Stoker, an index of all files, and the SHA-256 of each block. It appears whole, or not at all. Every
    file is compared with what was recorded when it was published. Exit status: 3 where one is not there,
    4 where one differs, or FOLDER is taken.
    """
    from stoker.volumes.pack import pack as pack_members

    done = pack_members(
        members,
        folder,
        name=name or os.environ.get("STOKER_KEY"),
        block_bytes=block_size,
        index=index,
        dry_run=dry_run,
    )
    if not dry_run:
        _leave_values(
            {
                "volume": done.volume,
                "blocks": done.blocks,
                "files": done.files,
                "bytes": done.size_bytes,
            }
        )
    if as_json:
        json_line(done)
        return
    data(
        f"volume {visible(done.volume)}{' would hold' if dry_run else ''}: {plural(done.members, 'member')}, {plural(done.files, 'file')}, "
        f"{human_bytes(done.size_bytes)} in {plural(done.blocks, 'block')}"
    )
    if done.left_out:
        say(
            f"{plural(done.left_out, 'member')} left out: done again since, and in a later volume "
            "with their new outputs"
        )


@command()
@click.argument("folder", metavar="FOLDER")
@json_option
def verify(_scope: Scope, folder: str, as_json: bool) -> int:
    """Compare a volume with its checksums.

    Reads the files of the volume in FOLDER; or, if something is redirected to standard input, what is
    read back there from a tape or another copy: the blocks one after another, or a tar file with them.
    Exit status: 1 where anything is missing or differs, 3 where FOLDER holds no volume.
    """
    from stoker.volumes.verify import stream_of
    from stoker.volumes.verify import verify as verify_volume

    done = verify_volume(folder, stream_of(sys.stdin.fileno()))
    if as_json:
        json_line(done)
    else:
        for one in done.problems[:_SHOWN]:
            name = f"{one.name}: " if one.name else ""
            say(f"{visible(one.where)}: {visible(name)}{one.problem}")
        if len(done.problems) > _SHOWN:
            say(f"and {plural(len(done.problems) - _SHOWN, 'more problem')}")
        if not done.problems:
            where = "read back from standard input" if done.is_stream else "in the folder"
            files, size = plural(done.files, "file"), human_bytes(done.size_bytes)
            data(f"volume {visible(done.volume)}: {files}, {size}, {where}, as packed")
    if done.problems:
        _leave_reason(f"volume {done.volume}: {done.problems[0].name} {done.problems[0].problem}")
        return EXIT_FAILED
    return 0


@command(name="locate")
@click.argument("names", nargs=-1, required=True, metavar="KEY|FILE...")
@click.option("--pipeline", metavar="NAME", help="In the volumes of this pipeline.")
@click.option(
    "--index",
    "indexes",
    metavar="FILE",
    multiple=True,
    help="In this index, instead of those that the store knows; may be given several times.",
)
@json_option
def locate_files(
    scope: Scope,
    names: "Sequence[str]",
    pipeline: str | None,
    indexes: "Sequence[str]",
    as_json: bool,
) -> None:
    """Find items or files in volumes, in the order in which to read them.

    Prints volume, block, offset and checksum: `tail -c +$((OFFSET + 1)) BLOCK | tar -x` begins with the
    file. Exit status 3 where a name is in no volume.
    """
    from stoker.project.verbs.volumes import names_wanted
    from stoker.volumes.locate import locate

    lost: list[str] = []
    if indexes:
        wanted = names_wanted(names)
        found = list(locate([(one, ()) for one in indexes], wanted))
    else:
        with scope.reading() as project:
            volumes = project.volumes
            found = list(volumes.locate(names, pipeline=pipeline))
            lost = volumes.lost
    if as_json:
        for one in found:
            json_line(one)
    elif found:
        _show(found)
    if lost:
        say(
            f"the index of {', '.join(f'`{one}`' for one in lost[:3])} is not where it was published"
        )
    for name in names:
        if not any(_is_meant(one, name) for one in found):
            raise NotFound(f"`{name}` is in no volume")


def _is_meant(found: "Located", name: str) -> bool:
    path = os.path.abspath(name)
    return found.key == name or path == found.path or path.startswith(f"{found.path}/")


def _show(found: "Sequence[Located]") -> None:
    table(
        ["volume", "block", "offset", "size", "sha256", "file"],
        [
            [
                visible(one.volume) + (", old" if one.superseded else ""),
                visible(one.block),
                str(one.offset),
                str(one.size_bytes),
                one.sha256,
                visible(one.name),
            ]
            for one in found
        ],
        right=("offset", "size"),
    )


def _leave_values(values: "Mapping[str, object]") -> None:
    """The next step can use them, if this is a step."""
    path = os.environ.get("STOKER_VALUES")
    if not path:
        return
    try:
        with open(path, "w", encoding="ascii") as file:
            json.dump(values, file)
    except OSError as error:
        raise UserError(f"the values cannot be written to `{path}`: {error.strerror}") from None


def _leave_reason(text: str) -> None:
    """The step fails for this reason, if this is a step."""
    path = os.environ.get("STOKER_REASON")
    if not path:
        return
    try:
        with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(visible(text) + "\n")
    except OSError as error:
        raise UserError(f"the reason cannot be written to `{path}`: {error.strerror}") from None


volume.add_command(pack)
volume.add_command(verify)
volume.add_command(locate_files)
