"""`stoker batch`: the batch systems, and the pilots that were submitted to them."""

from typing import TYPE_CHECKING

import click

from stoker.cli.fleet import batch_line
from stoker.cli.holding import change_options, name_argument, tell
from stoker.cli.render import data, human_bytes, human_time, json_line, plural, say, table, visible
from stoker.cli.scope import (
    DURATION,
    Scope,
    command,
    dry_run_option,
    group,
    json_option,
    reason_option,
)

if TYPE_CHECKING:
    from stoker.project.verbs.batch import TrialAnswer
    from stoker.store.batch_rows import PilotRow


@group()
def batch() -> None:
    """Submit workers to a batch system as jobs, and see what became of them.

    The jobs are called pilots. `stoker up` submits them as the work wants, and so does each visit of
    `stoker up --once`.
    """


@command(name="list")
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--all", "everyone", is_flag=True, help="All pilots that ever were.")
@json_option
def list_pilots(scope: Scope, name: str | None, everyone: bool, as_json: bool) -> None:
    """List the pilots that wait or run, and the newest of those that are over."""
    with scope.reading() as project:
        rows = project.batch.list(name, everyone=everyone)
        status = project.batch.status()
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not status and not rows:
        say("there is no batch system; `[batch.NAME]` in `stoker.toml` declares one")
    for each, one in status.items():
        if name in (None, each):
            data(batch_line(each, one))
    if not rows:
        return
    table(
        ["pilot", "batch", "job", "state", "host", "cpus", "since", "until", "done", ""],
        [_cells(row) for row in rows],
        right=("cpus", "done"),
    )


def _cells(row: "PilotRow") -> list[str]:
    since, until = row.started_at or row.submitted_at, row.ended_at or row.ends_at
    return [
        row.id,
        row.batch,
        row.batch_id or "",
        row.state,
        row.host or "",
        str(row.cpus),
        human_time(since) if since else "",
        human_time(until) if until else "",
        f"{row.done:,}" if row.done else "·",
        visible(row.reason or ""),
    ]


@command()
@name_argument
@click.argument("pilot", required=False, metavar="[PILOT]")
@json_option
def logs(scope: Scope, name: str, pilot: str | None, as_json: bool) -> None:
    """Print what a pilot wrote: the newest, or the one whose id begins so."""
    with scope.reading() as project:
        found = project.batch.logs(name, pilot)
    if as_json:
        json_line(found)
        return
    say(f"pilot {found.pilot} of {found.batch}: {found.path}")
    for line in found.text.splitlines():
        data(visible(line))
    if not found.text:
        say("it has written nothing, or the file is on another host")


@command(name="try")
@name_argument
@click.option(
    "--wait",
    type=DURATION,
    default=120.0,
    show_default="2m",
    metavar="T",
    help="For how long to wait.",
)
@dry_run_option
@reason_option
@json_option
def try_(
    scope: Scope, name: str, wait: float, dry_run: bool, reason: str | None, as_json: bool
) -> int:
    """Submit one short pilot, and report what it found.

    It takes no work. With `--dry-run` its script is printed, and nothing is submitted. The exit status is 0 if it ran, 5 if it still waits, and 6 if it was refused or
    failed; `stoker batch logs` then has its output.
    """
    with scope.project() as project:
        project.open_store(create=True)
        answer = project.batch.try_(name, wait_s=wait, reason=reason, dry_run=dry_run, on_news=say)
    if as_json:
        json_line(answer)
    elif answer.script is not None:
        data(answer.script.rstrip("\n"))
    else:
        _show_trial(answer)
    if answer.pilot is None:
        return 0
    state = answer.pilot.state
    return 0 if state == "ended" else 5 if state in ("waiting", "running") else 6


def _show_trial(answer: "TrialAnswer") -> None:
    pilot, found = answer.pilot, answer.found
    if pilot is None:
        return
    where = f" as job {pilot.batch_id}" if pilot.batch_id else ""
    data(f"pilot {pilot.id}{where}: {pilot.state}" + (f", {pilot.reason}" if pilot.reason else ""))
    if found is not None:
        ahead_s = found.get("clock_ahead_s")
        node = f" ({pilot.host})" if pilot.host != found.get("host") else ""
        data(f"  host      {found.get('host')}{node}")
        data(f"  cpus      {found.get('cpus')}")
        data(f"  memory    {_size(found.get('memory_bytes'))}")
        data(f"  scratch   {found.get('scratch')}, {_size(found.get('scratch_free_bytes'))} free")
        data(
            f"  clock     {ahead_s:+.1f} s against the store's"
            if isinstance(ahead_s, float)
            else ""
        )
        data(f"  stoker    {found.get('stoker')}")
    elif pilot.state in ("waiting", "running"):
        say(
            f"it has not begun within {answer.waited_s:.0f} s; `stoker batch list` shows when it has"
        )


def _size(value: object) -> str:
    return human_bytes(value) if isinstance(value, int) else "unknown"


@command()
@change_options
def hold(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Submit nothing more to a batch system; its pilots go on."""
    with scope.project() as project:
        done = project.batch.hold(name, reason=reason, dry_run=dry_run)
    tell(done, done.batch, "held", "is held already", as_json=as_json)


@command()
@change_options
def release(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Submit to a batch system again, and forget what went wrong there."""
    with scope.project() as project:
        done = project.batch.release(name, reason=reason, dry_run=dry_run)
    tell(done, done.batch, "released", "is not held, and nothing went wrong there", as_json=as_json)


@command()
@name_argument
@click.argument("pilots", nargs=-1, metavar="[PILOT]...")
@dry_run_option
@reason_option
@json_option
def cancel(
    scope: Scope,
    name: str,
    pilots: tuple[str, ...],
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """End all pilots of a batch system, or those named.

    Their tasks are ready again, and none fails for it. While there is work for them, others
    are submitted; hold the batch system first where that is not wanted.
    """
    with scope.project() as project:
        done = project.batch.cancel(name, *pilots, reason=reason, dry_run=dry_run)
    if as_json:
        json_line(done)
        return
    would = "would end" if dry_run else "end"
    data(f"{plural(len(done.pilots), 'pilot')} of `{name}` {would}")


for _command in (list_pilots, logs, try_, hold, release, cancel):
    batch.add_command(_command)
