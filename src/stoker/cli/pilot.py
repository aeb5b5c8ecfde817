"""`stoker pilot`: what the job of a pilot runs. For batch systems, not for people."""

import os
import shutil
import socket
import time
from typing import TYPE_CHECKING

import click

from stoker.cli.render import human_seconds, say
from stoker.cli.scope import Scope, command

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.pilots.pilots import Pilot


@command(is_guarded=True, hidden=True)
@click.option("--id", "uid", required=True, metavar="ID", help="Which pilot it is.")
def pilot(scope: Scope, uid: str) -> int:
    """Be the worker of a pilot.

    The exit status is 0 if it ended in order, whatever became of its tasks. A pilot that was
    cancelled, or whose place another has taken, ends at once.
    """
    from stoker.store.pilots import starts

    began_s = scope.began_s or time.monotonic()
    with scope.working() as project:
        project.store.keep_few()
        own = _start(project, uid, began_s)
        if own is None:
            say(f"pilot {uid} is not wanted any more")
            return 0
        if own.is_trial:
            starts.end(project.store, uid, done=0, was_stopped=False, reason="trial")
            say(f"pilot {uid} reported what it found here")
            return 0
        return _work(project, own, began_s)


def _start(project: "Project", uid: str, began_s: float) -> "Pilot | None":
    from stoker.store.pilots import starts
    from stoker.work.allocation import own_allocation

    allocation = own_allocation(os.environ)
    return starts.start(
        project.store,
        uid,
        host=socket.gethostname(),
        batch_id=None if allocation is None else allocation.batch_id,
        began_s_ago=max(time.monotonic() - began_s, 0.0),
        found=_found(project),
    )


def _found(project: "Project") -> dict[str, object]:
    """Return what there is here, for those who ask what a pilot of this batch system finds."""
    from stoker import __version__
    from stoker.work.leftovers import scratch_root
    from stoker.work.post import own_place
    from stoker.work.store_link import StoreLink

    place = own_place(project.worker_settings, socket.gethostname())
    scratch = scratch_root(StoreLink(project.store), project.worker_settings)
    above = scratch
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    with project.store.reading() as unit:
        skew_s = time.time() - unit.now_us / 1e6
    return {
        "host": socket.gethostname(),
        "cpus": place.cpus,
        "memory_bytes": place.memory_bytes,
        "scratch": scratch,
        "scratch_free_bytes": shutil.disk_usage(above).free,
        "clock_ahead_s": round(skew_s, 3),
        "stoker": __version__,
    }


def _work(project: "Project", own: "Pilot", began_s: float) -> int:
    from stoker import daemon
    from stoker.cli.progress import progress_for
    from stoker.project.services.pilot_reports import PilotReports
    from stoker.store.pilots import starts

    with progress_for(project, stays=True, is_batch_job=True) as progress:
        reports = PilotReports(project.store, own, progress.update)
        summary = daemon.work(
            project,
            time_limit_s=own.time_s,
            idle_timeout_s=own.idle_s,
            began_s=began_s,
            name=own.name,
            tags=own.tags,
            pilot=reports,
            on_event=reports.see,
        )
    how = "time limit" if summary.is_time_up else "no work was left for it"
    starts.end(
        project.store,
        own.uid,
        done=summary.done,
        was_stopped=summary.was_interrupted,
        reason=how,
    )
    say(
        f"{summary.done:,} done, {summary.failed:,} failed in {human_seconds(summary.elapsed_s)}; "
        f"{'stopped from outside' if summary.was_interrupted else how}"
    )
    return 0
