"""Where a worker works: what stays the same while it is declared dead and begins anew."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from stoker.model.settings import Settings
from stoker.model.simulate import Host
from stoker.model.task import WorkerId
from stoker.store import fleet
from stoker.store.rights import PRIVATE, Rights
from stoker.store.unit import Store
from stoker.work import usage
from stoker.work.lease import LEASE_S
from stoker.work.room import Room
from stoker.work.scratch import boot_id


def own_host(settings: Settings, name: str) -> Host:
    """Return what workers here may fill: what the settings say of the name, else what we are let."""
    own = settings.worker.on(name)
    return Host(
        own.cpus or usage.host_cpus(),
        memory_bytes=own.memory_bytes or usage.host_memory_bytes(),
        tags=frozenset(own.tags or ()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One worker's store, host and place, for all its incarnations."""

    store: Store
    store_id: str
    settings: Settings
    name: str
    slots: int
    cpus: int
    memory_bytes: int
    tags: tuple[str, ...]
    scratch_root: str
    room: Room
    fail: Callable[[BaseException], None]  # the worker ends: one of its threads met this
    lease_s: float = LEASE_S

    @property
    def scratch_rights(self) -> Rights:
        """The store's for scratch that is in its folder; elsewhere nobody else has a part in it."""
        is_inside = self.scratch_root.startswith(f"{self.store.folder}/")
        return self.store.rights if is_inside else PRIVATE

    def enlist(self) -> WorkerId:
        """A new row in the store stands for this worker. Unavailable if the store cannot be asked."""
        return fleet.enlist(
            self.store,
            host=self.store.host,
            name=self.name,
            pid=os.getpid(),
            slots=self.slots,
            cpus=self.cpus,
            memory_bytes=self.memory_bytes,
            scratch=self.scratch_root,
            boot_id=boot_id(),
            lease_s=self.lease_s,
            tags=self.tags,
        )
