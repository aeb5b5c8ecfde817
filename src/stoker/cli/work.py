"""`stoker work`."""

import os
from datetime import UTC, datetime

import click

from stoker.cli.ending import EXIT_INTERRUPTED
from stoker.cli.render import human_seconds, last_word, plural, say
from stoker.cli.scope import DURATION, TAGS, Scope, command, whole
from stoker.model.bounds import CPUS


@command(is_guarded=True)
@click.option("--slots", type=whole(CPUS), metavar="N", help="How many cpus to fill.")
@click.option("--drain", is_flag=True, help="End when nothing is left for it.")
@click.option("--time-limit", type=DURATION, metavar="T", help="Be gone after this time, as `2h`.")
@click.option(
    "--idle-timeout",
    type=DURATION,
    metavar="T",
    help="End after this time without work of its own.",
)
@click.option("--name", metavar="NAME", help="What to call it; by default host and process.")
@click.option(
    "--tags", type=TAGS, metavar="TAG,…", help="What steps may need; instead of the file's tags."
)
def work(
    scope: Scope,
    slots: int | None,
    drain: bool,
    time_limit: float | None,
    idle_timeout: float | None,
    name: str | None,
    tags: tuple[str, ...] | None,
) -> int:
    """Run one more worker on this host.

    The worker takes its pipelines from the store and runs until Ctrl-C or TERM. By default it fills
    all cpus that this host may use, except those that other workers here fill. With `--drain`,
    `--idle-timeout` or `--time-limit` it ends on its own, with exit status 0 whatever failed:
    `stoker run` and `stoker failures` report failures.

    With a time limit, which every batch job has, the worker starts only tasks that are expected to
    end in time. A task that took most of the time of two such workers and was cut off by their end is
    held.
    """
    from stoker import daemon
    from stoker.cli.progress import progress_for
    from stoker.work.allocation import own_allocation

    is_job = own_allocation(os.environ) is not None
    with (
        scope.working() as project,
        progress_for(project, stays=not drain, is_batch_job=is_job) as progress,
    ):
        since = datetime.now(UTC)
        summary = daemon.work(
            project,
            slots=slots,
            drain=drain,
            time_limit_s=time_limit,
            idle_timeout_s=idle_timeout,
            began_s=scope.began_s,
            name=name,
            tags=tags,
            on_event=progress.update,
        )
        has_worked = summary.done or summary.failed or summary.skipped or summary.cancelled
        busy = project.busy_since(since) if drain and has_worked else None
        say(
            f"{summary.done:,} done, {summary.failed:,} failed, {summary.skipped:,} skipped "
            f"in {human_seconds(summary.elapsed_s)}"
        )
        if summary.crowded_s >= 1:
            waited = human_seconds(summary.crowded_s)
            say(f"for {waited} it began nothing: other workers filled the cpus that it may use")
        if busy is not None:
            say(last_word(busy.share, busy.worked_s, busy.equal_split_s))
        if summary.was_interrupted:
            return EXIT_INTERRUPTED
        counts = project.task_counts()
        if drain and not summary.is_time_up:
            from stoker.cli.run import tell_left  # with all that `run` is made of

            tell_left(project, counts["ready"])
        if counts["failed"]:
            say(f"{plural(counts['failed'], 'failed task')} in all; `stoker failures` says why")
    return 0
