"""What workers of this store that died on this host have left: processes, scratch, attempts."""

import logging
from functools import partial

from stoker.errors import Bug
from stoker.failpoints import hit
from stoker.model.settings import Settings
from stoker.store.claims import workers
from stoker.store.ends import reap
from stoker.store.unit import Store
from stoker.work import brand, cgroups, contain, scratch

_log = logging.getLogger(__name__)


def store_id(store: Store) -> str:
    """Return what names a store in marks and owner files: its own, however it is reached."""
    if store.identity.uid is None:
        raise Bug("a store that was not opened has no workers")
    return store.identity.uid


def scratch_root(store: Store, settings: Settings) -> str:
    """Return the folder for the workers' scratch on this host."""
    return settings.worker.on(store.host).scratch or str(store.folder / "scratch")


def clear(store: Store, root: str) -> None:
    """Nothing is left of dead workers: processes killed, attempts lost, scratch removed.

    `root` is the folder for scratch. What cannot be removed is named in the log, and tried again
    the next time. Several may do this at a time, beside workers that live.
    """
    own, boot, host = store_id(store), scratch.boot_id(), store.host
    contain.kill_marked(store=own, host=host, boot=boot)
    is_gone = partial(workers.is_gone, store)
    folders = scratch.dead_folders(root, host=host, boot=boot, store=own, is_gone=is_gone)
    dead = [owner for _, owner in folders]
    here = [owner for owner in dead if owner.boot_id == boot]
    for owner in here:
        cgroups.end(owner.group, pid=owner.pid, started=owner.started)
    if here:
        contain.kill_branded({brand.of_worker(str(contain.mark_of(owner))) for owner in here})
    hit("strays_killed")
    if not dead:
        return
    reap.reap(store, dead_workers=[owner.worker for owner in dead])  # the folders tell of them
    hit("dead_reaped")
    left = scratch.clear_dead(root, host=host, boot=boot, store=own, is_gone=is_gone)
    if left:
        _log.warning("scratch is left", extra={"event": "scratch_left", "path": left[0]})
    hit("scratch_cleared")
