"""The ordinary worker at an outpost: it works off what waits in the spool, and ends."""

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.model.settings import HostSettings, Settings, WorkerSettings
from stoker.outpost.files_link import LEASE_S, FilesLink
from stoker.outpost.pilots import own_pilot
from stoker.outpost.spool import Spool
from stoker.work import scheduler
from stoker.work.allocation import own_allocation, with_pilot
from stoker.work.term import Term, first_to_end
from stoker.work.worker import Worker

if TYPE_CHECKING:
    from stoker.work.progress import Summary


def run(
    folder: str,
    *,
    slots: int | None = None,
    scratch: str | None = None,
    pilot: str | None = None,
    time_limit_s: float | None = None,
    idle_timeout_s: float | None = None,
    began_s: float | None = None,
) -> "Summary | None":
    """Work until nothing waits that fits this host; return what was done.

    With `idle_timeout_s`, until nothing has come for that long; with `time_limit_s`, no longer than
    that. A `pilot` fills what its batch job has or, where that does not say, what it asked for; one that is
    not wanted any more does nothing: None.
    """
    began_s = time.monotonic() if began_s is None else began_s
    spool = Spool(folder)
    spool.check()
    given = None
    if pilot is not None:
        asked = own_pilot(spool, pilot)
        if asked is None:
            return None
        given = with_pilot(own_allocation(os.environ), uid=pilot, **asked)
    everywhere = WorkerSettings(hosts={"*": HostSettings(scratch=scratch)})
    settings = Settings(name="outpost", folder=folder, store_url="", worker=everywhere)
    limit = None if time_limit_s is None else Term.of(time_limit_s, began_s=began_s)
    job = scheduler.ask(os.environ, began_s)
    worker = Worker(
        FilesLink(spool, pilot=pilot),
        settings,
        slots=slots,
        drain=idle_timeout_s is None,
        idle_timeout_s=idle_timeout_s,
        given=given,
        job=replace(job, term=first_to_end(job.term, limit)),
        lease_s=LEASE_S,
    )
    return worker.work()
