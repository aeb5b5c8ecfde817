"""`stoker values`."""

import os
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE
from stoker.cli.render import json_line, plural, say
from stoker.cli.scope import Scope, command, json_option, selection_options, tell_unknown_keys
from stoker.errors import UserError
from stoker.spec.value_tables import SUFFIXES

if TYPE_CHECKING:
    from stoker.model.selection import Selection


@command()
@click.argument("name", type=PIPELINE, metavar="PIPELINE")
@selection_options(with_pipeline=False)
@click.option(
    "--out",
    metavar="FILE|-",
    help="Where to write it; the suffix is the format: .csv, .tsv, .sqlite or .parquet.",
)
@click.option(
    "--columns",
    metavar="NAME,...",
    help="`key`, `params.x`, `meta.x`, `values.STEP.x`, `outputs.STEP.x`; by default the key, all "
    "parameters and all values.",
)
@json_option
def values(
    scope: Scope,
    name: str,
    selection: "Selection",
    out: str | None,
    columns: str | None,
    as_json: bool,
) -> None:
    """Write parameters and values of items as a table.

    A row for each item whose named steps are done, ordered by key; without `--columns`, all steps have
    to be done. With `-`, CSV on standard output; with `--json`, an object for each row.
    """
    if (out is None) != as_json:
        raise UserError("say where the table is to go: `--out FILE`, `--out -`, or `--json`")
    if out not in (None, "-") and os.path.splitext(out or "")[1] not in SUFFIXES:
        raise UserError(f"`{out}` is not the name of a table: it ends with {', '.join(SUFFIXES)}")
    named = columns.split(",") if columns is not None else ()
    with scope.reading() as project:
        if as_json:
            from stoker.project.answers import ValueAnswer

            for row in project.values.each(name, columns=named, selection=selection):
                json_line(ValueAnswer(columns=row))
        elif out is not None:
            n = project.values.write(name, out=out, columns=named, selection=selection)
            say(f"wrote {plural(n, 'row')} to `{out}`" if out != "-" else plural(n, "row"))
        tell_unknown_keys(project, selection)
