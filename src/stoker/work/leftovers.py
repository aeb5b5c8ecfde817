"""What workers of this store that died on this host have left: processes, scratch, attempts."""

import logging
import os
from collections.abc import Mapping

from stoker.failpoints import hit
from stoker.model.settings import Settings
from stoker.work import brand, cgroups, contain, scratch
from stoker.work.allocation import own_folder
from stoker.work.link import Link

_log = logging.getLogger(__name__)


def scratch_root(link: Link, settings: Settings, env: Mapping[str, str] = os.environ) -> str:
    """Return the folder for the workers' scratch on this host.

    In a batch job that has a folder of its own there, it is in that one, which goes with the job,
    unless the file names another for hosts of this name.
    """
    for_host = settings.worker.named(link.host).scratch
    if for_host is None and (folder := own_folder(env)) is not None:
        return os.path.join(folder, "stoker")
    return settings.worker.on(link.host).scratch or str(link.folder / "scratch")


def clear(link: Link, root: str) -> None:
    """Nothing is left of dead workers: processes killed, attempts lost, scratch removed.

    `root` is the folder for scratch. What cannot be removed is named in the log, and tried again
    the next time. Several may do this at a time, beside workers that live.
    """
    own, boot, host = link.store_id, scratch.boot_id(), link.host
    contain.kill_marked(store=own, host=host, boot=boot)
    folders = scratch.dead_folders(root, host=host, boot=boot, store=own, is_gone=link.is_gone)
    dead = [owner for _, owner in folders]
    here = [owner for owner in dead if owner.boot_id == boot]
    for owner in here:
        cgroups.end(owner.group, pid=owner.pid, started=owner.started)
    if here:
        contain.kill_branded({brand.of_worker(str(contain.mark_of(owner))) for owner in here})
    hit("strays_killed")
    if not dead:
        return
    link.reap(dead_workers=[owner.worker for owner in dead])  # the folders tell of them
    hit("dead_reaped")
    left = scratch.clear_dead(root, host=host, boot=boot, store=own, is_gone=link.is_gone)
    if left:
        _log.warning("scratch is left", extra={"event": "scratch_left", "path": left[0]})
    hit("scratch_cleared")
