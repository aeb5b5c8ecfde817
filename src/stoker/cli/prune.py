"""`stoker prune`."""

import click

from stoker.cli.render import data, human_bytes, json_line, plural, say, visible
from stoker.cli.scope import DURATION, Scope, command, dry_run_option, json_option


@command()
@click.option(
    "--older-than",
    type=DURATION,
    required=True,
    metavar="T",
    help="Where nothing happened for this long, as `30d`.",
)
@click.option("--pipeline", metavar="NAME", help="Of this pipeline.")
@dry_run_option
@json_option
def prune(
    scope: Scope, older_than: float, pipeline: str | None, dry_run: bool, as_json: bool
) -> None:
    """Forget old items that are done or cancelled.

    With their tasks, attempts and logs. Published results are never touched. An item that was
    forgotten is new if it is pushed again: `stoker adopt` then finds its results.
    """
    with scope.reading() as project:
        done = project.prune(older_than_s=older_than, pipeline=pipeline, dry_run=dry_run)
    if as_json:
        json_line({"dry_run": dry_run, **{n: getattr(done, n) for n in done.__slots__}})
        return
    if not done.items:
        say("nothing to forget: no item is done or cancelled and that old")
        return
    would = "would forget" if dry_run else "forgot"
    data(
        f"{would} {plural(done.items, 'item')}, {plural(done.tasks, 'task')}, "
        f"{plural(done.attempts, 'attempt')}, {plural(done.log_files, 'log file')} "
        f"({human_bytes(done.log_bytes)})"
    )
    if dry_run:
        for example in done.examples:
            data(f"  {visible(example)}")
