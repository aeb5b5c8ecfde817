"""`stoker transfer`."""

import json
import os
from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, json_line, plural, visible
from stoker.cli.scope import Scope, command, dry_run_option, json_option
from stoker.errors import NotFound, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.outpost import Outpost


@command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--files-from",
    metavar="LIST",
    help="SRC and DST are folders; copy the files that this file names, one a line, in SRC.",
)
@json_option
@dry_run_option
def transfer(
    scope: Scope, source: str, target: str, files_from: str | None, as_json: bool, dry_run: bool
) -> None:
    """Copy a file to another host, or from one, and read it back there.

    One of the two is `HOST:PATH`: the name of a site, in whose `folder` relative paths are, or of a
    host that ssh reaches. A path that ends with a slash is a folder. With `--files-from`, all files that
    a list names, as `{members.STEP.OUTPUT}` does. The copy is resumed if it was broken off, and gets its
    name only when its SHA-256 is that of the source. Nothing is replaced, and the source stays. As a step, it leaves the values `host`,
    `path`, `size_bytes` and `sha256`. Exit status: 3 without a source, 4 where the target has other
    content, 5 where it may be tried again, 6 where access is denied.
    """
    from stoker.transfer.copy import transfer as copy
    from stoker.transfer.places import names_a_host, parse_place

    sites = _sites(scope) if any(map(names_a_host, (source, target))) else {}
    places = parse_place(source, sites), parse_place(target, sites)
    if files_from is not None:
        from stoker.transfer.listed import transfer_listed

        several = transfer_listed(*places, files_from, dry_run=dry_run)
        if not dry_run:
            _leave_values(several.values)
        if as_json:
            json_line(several)
        else:
            verb = "would copy" if dry_run else "copied"
            files, size = plural(several.new, "file"), plural(several.size_bytes, "byte")
            there = several.files - several.new
            more = f"; {plural(there, 'file was', 'files were')} there already" if there else ""
            where = visible(f"`{several.host}:{several.path}`")
            data(f"{verb} {files} to {where}, {size} in all{more}")
        return
    done = copy(*places, dry_run=dry_run)
    if not dry_run:
        _leave_values(done.values)
    if as_json:
        json_line(done)
        return
    where = visible(f"`{done.host}:{done.path}`")
    if not done.is_new:
        data(f"{where} is there already, with the same content")
    else:
        verb = "would copy" if dry_run else "copied"
        data(f"{verb} {plural(done.size_bytes, 'byte')} to {where}")


def _sites(scope: Scope) -> "Mapping[str, Outpost]":
    """Return the sites of the project; none where there is no project, as at an outpost."""
    from stoker.spec.declared_sites import declared_sites

    try:
        return declared_sites(scope.reading().file)
    except NotFound:
        return {}


def _leave_values(values: "Mapping[str, object]") -> None:
    """The next step can use where the file is, if this is a step."""
    path = os.environ.get("STOKER_VALUES")
    if not path:
        return
    try:
        with open(path, "w", encoding="ascii") as file:
            json.dump(values, file)
    except OSError as error:
        raise UserError(f"the values cannot be written to `{path}`: {error.strerror}") from None
