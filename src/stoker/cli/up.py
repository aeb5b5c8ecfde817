"""`stoker up`."""

import click

from stoker.cli.apply import tell_applied
from stoker.cli.push import in_words, tell_troubles
from stoker.cli.render import human_seconds, say
from stoker.cli.run import tell_wait
from stoker.cli.scope import Scope, command, whole
from stoker.model.bounds import CPUS

_PAGE = "the web page of a later release"


@command(is_guarded=True)
@click.option("--host", default="127.0.0.1", metavar="NAME", help=f"Where {_PAGE} will listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    metavar="N",
    help=f"Where {_PAGE} will listen.",
)
@click.option("--slots", type=whole(CPUS), metavar="N", help="How many cpus to fill.")
@click.option("--no-web", is_flag=True, help=f"Without {_PAGE}.")
@click.option("--once", is_flag=True, help="Take in and tidy up once, and end; for cron.")
def up(scope: Scope, host: str, port: int, slots: int | None, no_web: bool, once: bool) -> None:  # noqa: ARG001 - the contract's options
    """Run the service: sources, a worker and housekeeping, until stopped.

    The service registers and processes everything that arrives in the pipelines' sources, and follows
    changes of `stoker.toml`. Stop it with Ctrl-C or TERM: running attempts get a few seconds. With
    `--once` it registers the current content of the sources, takes back the attempts of dead workers,
    releases tasks whose back-off is over, updates the counts, and exits without starting a task.
    """
    from stoker import daemon
    from stoker.cli.progress import progress_for

    with scope.project() as project:
        if once:
            for taken in daemon.serve_once(project, on_apply=tell_applied, on_wait=tell_wait):
                say(in_words(taken))
                tell_troubles(taken)
            say("tidied up")
            return
        if not no_web:
            say("this release has no web page yet; `stoker status` and `stoker report` show it all")
        with progress_for(project, stays=True) as progress:
            summary = daemon.serve(
                project, slots=slots, on_event=progress.update, on_apply=tell_applied
            )
    say(
        f"stopped after {human_seconds(summary.elapsed_s)}: "
        f"{summary.done:,} done, {summary.failed:,} failed"
    )
