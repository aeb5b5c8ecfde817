"""What workers of an outpost that are over have left in its scratch: strays of this host, and folders."""

from collections.abc import Callable

from stoker.outpost.files_link import FilesLink
from stoker.outpost.spool import Spool
from stoker.work import leftovers, scratch


def clear(spool: Spool, busy: Callable[[], None]) -> None:
    """Nothing is left of workers that are over, as far as it is in the spool or runs on this host.

    No other worker may ever come to the node that they were on. Nothing is taken from one that may
    live: on another node that is known by its start, which a visit ends when its job is over.
    """
    root, link, boot = spool.at("scratch"), FilesLink(spool), scratch.boot_id()
    if any(
        scratch.dead_folders(root, host=link.host, boot=boot, store=spool.uid, is_gone=link.is_gone)
    ):
        leftovers.clear(link, root)
    for host in scratch.hosts_in(root) - {link.host}:
        busy()
        scratch.clear_dead(root, host=host, boot="", store=spool.uid, is_gone=link.is_gone)
