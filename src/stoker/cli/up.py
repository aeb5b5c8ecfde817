"""`stoker up`."""

import sys
from typing import TYPE_CHECKING

import click

from stoker.cli.apply import tell_applied
from stoker.cli.push import in_words, tell_troubles
from stoker.cli.render import human_seconds, plural, say
from stoker.cli.run import tell_wait
from stoker.cli.scope import Scope, command, whole
from stoker.model.bounds import CPUS

if TYPE_CHECKING:
    from stoker.batch.visit import Visited
    from stoker.project import Project
    from stoker.web.listening import Listening


@command(is_guarded=True)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="NAME",
    help="Address at which the web service listens; by default only this host reaches it.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8420,
    metavar="N",
    help="Port at which the web service listens, by default 8420; 0 takes a free one.",
)
@click.option("--slots", type=whole(CPUS), metavar="N", help="How many cpus to fill.")
@click.option("--no-web", is_flag=True, help="Without the web service.")
@click.option("--once", is_flag=True, help="Take in and tidy up once, and end; for cron.")
@click.option(
    "--systemd", is_flag=True, help="Print a unit for systemd that runs this command, and end."
)
def up(
    scope: Scope,
    host: str,
    port: int,
    slots: int | None,
    no_web: bool,
    once: bool,
    systemd: bool,
) -> None:
    """Run the service: sources, a worker, pilots, the web service and housekeeping, until stopped.

    The service registers and processes everything that arrives in the pipelines' sources, answers
    over HTTP, and follows changes of `stoker.toml`. The web service needs the extra `web`; without
    it, everything else runs. Stop it with Ctrl-C or TERM: running attempts get a few seconds. With
    `--once` it registers the current content of the sources, takes back the attempts of dead workers,
    releases tasks whose back-off is over, updates the counts, visits the batch systems, and exits
    without starting a task here.
    """
    from stoker import daemon
    from stoker.cli.chronicle import Chronicle
    from stoker.cli.progress import progress_for
    from stoker.project.services.service import running

    with scope.project() as project:
        if systemd:
            click.echo(_unit(project, host, port, slots, no_web=no_web), nl=False)
            return
        if once:
            done = daemon.serve_once(
                project, on_apply=tell_applied, on_wait=tell_wait, on_visit=_tell_visit
            )
            for taken in done:
                say(in_words(taken, of=taken.pipeline if len(project.pipelines) > 1 else None))
                tell_troubles(taken)
            say("tidied up")
            return
        listening = None if no_web else _listen(host, port, is_guarded=project.access.has_users())
        with (
            progress_for(project, stays=True, has_lines=False) as progress,
            running([Chronicle(project, progress.say)], on_failure=lambda _: None),
        ):
            summary = daemon.serve(
                project,
                slots=slots,
                on_event=progress.update,
                on_apply=tell_applied,
                web=listening,
                on_web=lambda url: _tell_address(project, url),
            )
    say(
        f"stopped after {human_seconds(summary.elapsed_s)}: "
        f"{summary.done:,} done, {summary.failed:,} failed"
    )


def _tell_address(project: "Project", url: str) -> None:
    """Print where the service listens; to a person who has no user yet, also how to sign in."""
    from stoker.cli.user import sign_in_url

    say(f"the web service listens at {url}")
    if not sys.stderr.isatty():
        return
    secret = project.access.create_first_link()
    if secret is not None:
        address = project.settings.web.url or url
        say(
            f"sign in there as its first user, once, within ten minutes: {sign_in_url(address, secret)}"
        )


def _unit(project: "Project", host: str, port: int, slots: int | None, *, no_web: bool) -> str:
    """Return a unit for systemd that serves the project with these options."""
    from stoker.cli.systemd import unit

    options = ["--host", host, "--port", str(port)] if not no_web else ["--no-web"]
    options += ["--slots", str(slots)] if slots is not None else []
    is_shared = project.settings.store_access == "group"
    return unit(project.file, project.settings.name, options, is_shared=is_shared)


def _listen(host: str, port: int, *, is_guarded: bool) -> "Listening | None":
    """Return the socket to serve on; None, and a word about it, where the extra is missing."""
    from stoker.web.listening import listen
    from stoker.web.service import is_installed

    if not is_installed():
        say(
            "the web service is not installed, and everything else runs; "
            "`pip install 'stoker[web]'` adds it"
        )
        return None
    return listen(host, port, is_guarded=is_guarded)


def _tell_visit(name: str, done: "Visited") -> None:
    if done.trouble is not None:
        say(f"{name}: {done.trouble}; the next visit tries again")
    if done.submitted:
        say(f"{name}: submitted {plural(done.submitted, 'pilot')}")
