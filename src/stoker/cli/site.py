"""`stoker site`: the other places where steps run, and what is out there."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stoker.cli.holding import change_options, name_argument, tell
from stoker.cli.render import data, human_bytes, human_seconds, json_line, plural, say, visible
from stoker.cli.scope import (
    Scope,
    be_sure,
    command,
    dry_run_option,
    group,
    is_interactive,
    json_option,
    reason_option,
)
from stoker.errors import UserError

if TYPE_CHECKING:
    from stoker.outpost.visited import Visited
    from stoker.store.site_rows import SiteStatus


@group()
def site() -> None:
    """Visit the other places where steps run, and see what is out there.

    A place without a store is an outpost: attempts go there as files, and their ends come back by
    visits. `stoker up` makes them, and so does each `stoker up --once`.
    """


@command(name="list")
@json_option
def list_sites(scope: Scope, as_json: bool) -> None:
    """List the sites, what is out there, and when each last answered."""
    with scope.reading() as project:
        found = project.sites.status()
    for name, one in found.items():
        if as_json:
            json_line(one)
        else:
            data(site_line(name, one))
    if not found and not as_json:
        say("there is no other site; `[sites.NAME]` in `stoker.toml` declares one")


def site_line(name: str, one: "SiteStatus") -> str:
    """Return how an outpost stands, on one line."""
    head = f"site   {name} ({one.kind}): "
    out = f"{one.out:,} out"
    if one.out:
        out += f": {one.queued:,} wait, {one.running:,} running"
    if one.system is not None and one.pilots_running + one.pilots_waiting:
        out += f"; {plural(one.pilots_running, 'pilot')} there, {one.pilots_waiting:,} waiting"
    if one.held:
        out += f"; held by {one.held_by}" + (f": {visible(one.reason)}" if one.reason else "")
    if one.bad:
        out += f"; {plural(one.bad, 'damaged file')} set aside"
    if one.orphans:
        out += (
            f"; {plural(one.orphans, 'result')} that this store does not know, in `spool/orphans`"
        )
    if one.system_trouble:
        out += f"; no worker is brought there: {visible(one.system_trouble)}"
    if one.trouble is not None:
        safe = ", nothing is lost" if one.out else ""
        return f"{head}no whole visit {_since(one)}: {visible(one.trouble)}; {out}{safe}"
    if one.answered_at is None:
        return f"{head}not visited yet; {out}"
    free = f"; {human_bytes(one.free_bytes)} free" if one.free_bytes is not None else ""
    late = ", which is overdue" if one.overdue else ""
    return f"{head}last visit {_ago(one.answered_at)} ago{late}; {out}{free}"


def _since(one: "SiteStatus") -> str:
    return f"for {_ago(one.answered_at)}" if one.answered_at else "yet"


def _ago(then: datetime) -> str:
    return human_seconds(max((datetime.now(UTC) - then).total_seconds(), 0.0))


@command()
@name_argument
@json_option
def show(scope: Scope, name: str, as_json: bool) -> None:
    """Show all that is known of a site."""
    with scope.reading() as project:
        one = project.sites.show(name)
    if as_json:
        json_line(one)
        return
    data(site_line(name, one))
    data(f"  folder    {visible(one.folder)}" + (f" on {visible(one.ssh)}" if one.ssh else " here"))


@command()
@click.argument("name", required=False, metavar="[NAME]")
@dry_run_option
@json_option
def visit(scope: Scope, name: str | None, dry_run: bool, as_json: bool) -> None:
    """Bring results home from a site, and take new work there.

    Without a name, every site is visited. It may be broken off at any moment: the next visit goes on.
    The exit status is 5 if the site does not answer or is visited just now, 6 if it serves another
    store.
    """
    with scope.project() as project:
        project.follow_file()
        project.sites.take_over()
        names = [name] if name else sorted(project.sites.status())
        for one in names:
            done = project.sites.visit(one, dry_run=dry_run)
            if as_json:
                json_line(done)
            else:
                data(("would be: " if dry_run else "") + visit_line(done))
    if not names:
        say("there is no other site; `[sites.NAME]` in `stoker.toml` declares one")


def visit_line(done: "Visited") -> str:
    """Return what a visit did, on one line."""
    parts = [plural(done.recorded, "result")]
    if done.failed:
        parts[0] += f" ({done.failed:,} failed)"
    for n, words in (
        (done.lost, "lost"),
        (done.cancelled, "cancelled"),
        (done.given_back, "given back"),
        (done.sent, "sent"),
    ):
        if n:
            parts.append(f"{n:,} {words}")
    if done.started:
        parts.append("a worker started")
    more = "; there is more for the next visit" if done.more else ""
    return f"{done.site}: {', '.join(parts)}; {done.out:,} out{more}"


@command()
@change_options
def hold(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Take nothing new to a site; what is there comes back."""
    with scope.project() as project:
        done = project.sites.hold(name, reason=reason, dry_run=dry_run)
    tell(done, done.site, "held", "is held already", as_json=as_json)


@command()
@change_options
def release(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Take work to a site again."""
    with scope.project() as project:
        done = project.sites.release(name, reason=reason, dry_run=dry_run)
    tell(done, done.site, "released", "is not held", as_json=as_json)


@command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@reason_option
@json_option
def drop(
    scope: Scope, name: str, yes: bool, dry_run: bool, reason: str | None, as_json: bool
) -> None:
    """Give up all that is out at a site, and hold it.

    The attempts are lost, and their tasks ready again; what still runs there records nothing any more.
    For a site that is gone for good. One that is only silent keeps what it has, and loses nothing.
    """
    with scope.project() as project:
        if not (yes or dry_run):
            if not is_interactive():
                raise UserError(
                    f"what is out at `{name}` would be lost; say `--yes` if it is to be"
                )
            be_sure(f"{project.sites.show(name).out:,} attempts are out at `{name}`; lose them?")
        done = project.sites.drop(name, reason=reason, dry_run=dry_run)
    if as_json:
        json_line(done)
        return
    would = "would be" if dry_run else "is" if done.lost == 1 else "are"
    data(f"{plural(done.lost, 'attempt')} at `{name}` {would} lost; `stoker site release` resumes")


for _command in (list_sites, show, visit, hold, release, drop):
    site.add_command(_command)
