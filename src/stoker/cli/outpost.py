"""`stoker outpost`: what visits call at an outpost. For machines, not for people."""

import click

from stoker import __version__
from stoker.cli.render import say
from stoker.cli.scope import DURATION, Scope, command, group

_spool_option = click.option("--spool", required=True, metavar="FOLDER", help="The spool.")


@group()
def outpost() -> None:
    """Be the far end of a visit, or a worker that has no store."""


@command()
@_spool_option
def serve(_scope: object, spool: str) -> None:
    """Answer one visit, on standard input and output."""
    from stoker.outpost.serve import serve_here

    serve_here(spool, __version__)


@command(is_guarded=True)
@_spool_option
@click.option("--slots", type=int, metavar="N", help="How many cpus to fill.")
@click.option("--scratch", metavar="FOLDER", help="Where attempts work; by default in the spool.")
@click.option("--pilot", metavar="ID", help="The pilot that brings it.")
@click.option("--time-limit", type=DURATION, metavar="T", help="Be gone after this time.")
@click.option(
    "--idle-timeout", type=DURATION, metavar="T", help="End after this time without work."
)
def run(
    scope: Scope,
    spool: str,
    slots: int | None,
    scratch: str | None,
    pilot: str | None,
    time_limit: float | None,
    idle_timeout: float | None,
) -> None:
    """Work off what waits in the spool, and end."""
    from stoker.outpost.running import run as work

    done = work(
        spool,
        slots=slots,
        scratch=scratch,
        pilot=pilot,
        time_limit_s=time_limit,
        idle_timeout_s=idle_timeout,
        began_s=scope.began_s,
    )
    if done is None:
        say(f"pilot {pilot} is not wanted any more")
        return
    say(f"{done.done:,} done, {done.failed:,} failed in {done.elapsed_s:.1f} s")


for _one in (serve, run):
    outpost.add_command(_one)
