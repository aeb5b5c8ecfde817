"""`stoker status`."""

import sys
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE
from stoker.cli.fleet import batch_line, troubles
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

    from stoker.store.status_rows import PipelineStatus, Status

_TASK_WORDS = ("blocked", "ready", "running", "held", "done", "skipped", "failed", "cancelled")


@command()
@click.argument("name", required=False, type=PIPELINE, metavar="[PIPELINE]")
@click.option(
    "--pipeline",
    type=PIPELINE,
    metavar="NAME",
    help="Of this pipeline; the same as naming it alone.",
)
@click.option("--watch", "is_watched", is_flag=True, help="Show it until stopped, always current.")
@json_option
def status(
    scope: Scope, name: str | None, pipeline: str | None, is_watched: bool, as_json: bool
) -> None:
    """Count items and tasks by state.

    With the pools and the workers that are alive. It costs the same with a million tasks as with
    ten. `--watch` shows the overview of the web pages in the terminal, until Ctrl-C.
    """
    if is_watched and (as_json or not sys.stdout.isatty()):
        raise UserError("`--watch` needs a terminal; without it, `stoker status` prints it once")
    if name is not None and pipeline not in (None, name):
        raise UserError(f"`{name}` and `{pipeline}`: name one pipeline, or none for all")
    with scope.reading() as project:
        if is_watched:
            from stoker.cli.watching import watch

            watch(project, name or pipeline)
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
    if one.groups is not None and any(one.groups.values()):
        counts = [f"{n:,} {word}" for word, n in one.groups.items() if n]
        wait = one.groups["waiting"] + one.groups["outdated"]
        hint = "; `stoker group list --waiting` says for what" if wait else ""
        data(f"groups: {', '.join(counts)}{hint}")
    if one.outdated:
        tasks = plural(one.outdated, "done task is", "done tasks are")
        them = "it" if one.outdated == 1 else "them"
        data(f"{tasks} of an older version of the step (`stoker rerun --outdated` redoes {them})")
    if one.missing:
        outputs = plural(one.missing, "output is", "outputs are")
        them = "it" if one.missing == 1 else "them"
        data(f"{outputs} missing (`stoker rerun --missing` makes {them} again)")
    for table_name, of in one.tables.items():
        if of.trouble:
            data(visible(f"table `{table_name}` is not current: {of.trouble}"))
    if one.tasks["failed"]:
        kept = f"; {plural(one.error_folders, 'error folder')}" if one.error_folders else ""
        data(f"`stoker failures --pipeline {name}` groups the failed ones by cause{kept}")


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


def _show_sites(found: "Status") -> None:
    """One line for each other site."""
    if found.sites:
        from stoker.cli.site import site_line

        data()
        for name, one in found.sites.items():
            data(site_line(name, one))


def _show_rest(found: "Status") -> None:
    _show_sources(found)
    _show_sites(found)
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
    elif any(one.tasks["ready"] for one in found.pipelines.values()) and not any(
        one.running or one.waiting for one in found.batch.values()
    ):
        data()
        data("no worker is alive; `stoker run`, `stoker up` or `stoker work` starts one")
    if found.batch:
        data()
    for name, one in found.batch.items():
        data(batch_line(name, one))
    for name, sent in found.notify.items():
        if sent.trouble:
            data(visible(f"no message to `{name}`: {sent.trouble}"))
    for line in troubles(found.workers):
        data(line)
    if found.trouble:
        data(f"nothing can be recorded: {found.trouble}")
