"""`stoker status`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.fleet import troubles
from stoker.cli.render import (
    data,
    human_count,
    human_eta,
    human_time,
    json_line,
    plural,
    say,
    table,
    visible,
)
from stoker.cli.scope import Scope, command, json_option
from stoker.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stoker.store.rows import PipelineStatus, Status

_TASK_WORDS = ("blocked", "ready", "running", "held", "done", "skipped", "failed", "cancelled")


@command()
@click.argument("name", required=False, metavar="[PIPELINE]")
@click.option("--pipeline", metavar="NAME", help="Of this pipeline; the same as naming it alone.")
@json_option
def status(scope: Scope, name: str | None, pipeline: str | None, as_json: bool) -> None:
    """Show how many items and tasks stand where.

    With the pools and the workers that are alive. It costs the same with a million tasks as with
    ten.
    """
    if name is not None and pipeline not in (None, name):
        raise UserError(f"`{name}` and `{pipeline}`: name one pipeline, or none for all")
    with scope.reading() as project:
        found = project.status(pipeline=name or pipeline)
    if as_json:
        json_line(found)
        return
    if not found.pipelines:
        say("no pipeline has been taken over yet; `stoker push` or `stoker run` begins")
    for at, (each, one) in enumerate(found.pipelines.items()):
        if at:
            data()
        _show_pipeline(each, one)
    _show_rest(found)


def _show_pipeline(name: str, one: "PipelineStatus") -> None:
    items = sum(one.items.values())
    parts = [f"{n:,} {word}" for word, n in one.items.items() if n and word != "done"]
    if one.items["done"]:
        parts.insert(0, f"{one.items['done']:,} done")
    eta = f"; {human_eta(one.eta_s, one.eta_interval_s)}" if one.eta_s is not None else ""
    title = f"{click.style(name, bold=True)}: {plural(items, 'item')}"
    data(title + (f" ({', '.join(parts)})" if parts else "") + eta)
    shown = [word for word in _TASK_WORDS if one.tasks[word]]
    if shown:
        rows = [
            [step, *(human_count(counts[word]) if counts[word] else "·" for word in shown)]
            for step, counts in one.steps.items()
        ]
        table(["step", *shown], rows, right=shown)
    if one.outdated:
        tasks = plural(one.outdated, "done task is", "done tasks are")
        data(f"{tasks} of an older version of the step (`stoker rerun --outdated` redoes them)")
    if one.tasks["failed"]:
        data(f"`stoker failures --pipeline {name}` groups the failed ones by cause")


def _pool_rows(found: "Status") -> "Iterator[list[str]]":
    """Each pool, and below it each host of a pool per host."""
    for name, pool in found.pools.items():
        opens = f"opens {human_time(pool.opens_at)}" if pool.opens_at else ""
        yield [name, str(pool.used), str(pool.slots), opens]
        for host, of in pool.hosts.items():
            yield [f"  on {host}", str(of["used"]), str(of["slots"]), ""]


def _show_sources(found: "Status") -> None:
    """When each source was looked at and what it brought; what is wrong with it below."""
    if not found.sources:
        return
    data()
    table(
        ["source", "kind", "looked", "taken", "pending"],
        [
            [
                f"{one.pipeline}/{one.source}",
                one.kind,
                human_time(one.looked_at) if one.looked_at else "never",
                f"{one.taken:,}",
                f"{one.pending:,}" if one.pending else "·",
            ]
            for one in found.sources
        ],
        right=("taken", "pending"),
    )
    for one in found.sources:
        for line in (one.trouble or "").splitlines():
            data(visible(f"  {one.pipeline}/{one.source}: {line}"))


def _show_rest(found: "Status") -> None:
    _show_sources(found)
    if found.pools:
        data()
        table(["pool", "used", "slots", ""], list(_pool_rows(found)), right=("used", "slots"))
    if found.workers:
        data()
        table(
            ["worker", "host", "pid", "running", "slots", "since"],
            [
                [w.name, w.host, str(w.pid), str(w.running), str(w.slots), human_time(w.started_at)]
                for w in found.workers
            ],
            right=("pid", "running", "slots"),
        )
    for line in troubles(found.workers):
        data(line)
    if found.trouble:
        data(f"nothing can be recorded: {found.trouble}")
