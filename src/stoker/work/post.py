"""Where a worker works: what stays the same while it is declared dead and starts again."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.id_types import WorkerId
from stoker.model.settings import Settings
from stoker.model.worker import NewWorker
from stoker.rights import PRIVATE, Rights
from stoker.work import usage
from stoker.work.allocation import Allocation, own_allocation
from stoker.work.lease import LEASE_S
from stoker.work.link import Link
from stoker.work.room import Room
from stoker.work.scratch import boot_id
from stoker.work.term import Term

if TYPE_CHECKING:
    from stoker.model.simulate import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What workers here may fill, and with whom they share it.

    Workers of one host and `room_key` share cpus and memory: those of a batch job, of a control group
    with a quota, or, where it is empty, all others. `cpu_mask` is what they may run on.
    """

    cpus: int
    slots: int  # what one worker fills by default
    memory_bytes: int
    tags: frozenset[str]
    room_key: str
    cpu_mask: str
    batch_id: str | None
    pilot: str | None = None  # the id of the one that brings the worker

    @property
    def host(self) -> "Host":
        """The same, as plans want it."""
        from stoker.model.simulate import Host

        return Host(self.cpus, memory_bytes=self.memory_bytes, tags=self.tags)


def own_place(
    settings: Settings,
    name: str,
    env: Mapping[str, str] = os.environ,
    *,
    given: Allocation | None = None,
) -> Place:
    """Return what workers here may fill: what the settings say of the host, else what they are let.

    In a batch job no more than the job has been given; `given` where the caller knows that better.
    """
    own, given = settings.worker.on(name), given or own_allocation(env)
    cpus = own.cpus or usage.host_cpus()
    memory_bytes = own.memory_bytes or usage.host_memory_bytes()
    tags = frozenset(own.tags or ())
    mask = usage.cpu_mask()
    if given is None:
        return Place(
            cpus=cpus,
            slots=cpus,
            memory_bytes=memory_bytes,
            tags=tags,
            room_key=usage.quota_group(),
            cpu_mask=mask,
            batch_id=None,
        )
    cpus = min(cpus, given.cpus or cpus)
    return Place(
        cpus=cpus,
        slots=min(cpus, given.slots or cpus),
        memory_bytes=min(memory_bytes, given.memory_bytes or memory_bytes),
        tags=tags,
        room_key=given.room_key,
        cpu_mask=mask,
        batch_id=given.batch_id,
        pilot=given.pilot,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One worker's link, settings and place, for all its incarnations."""

    link: Link
    settings: Settings
    name: str
    slots: int
    place: Place
    tags: tuple[str, ...]
    scratch_root: str
    room: Room
    fail: Callable[[BaseException], None]  # the worker ends: one of its threads met this
    lease_s: float = LEASE_S
    term: Term | None = None  # by whose end the worker is gone

    @property
    def scratch_rights(self) -> Rights:
        """The store's for scratch that is in its folder; elsewhere nobody else has a part in it."""
        is_inside = self.scratch_root.startswith(f"{self.link.folder}/")
        return self.link.rights if is_inside else PRIVATE

    @property
    def memory_bytes(self) -> int:
        """Of all attempts together."""
        return self.place.memory_bytes

    def enlist(self) -> WorkerId:
        """A new row in the store stands for this worker. Unavailable if the store cannot be asked."""
        new = NewWorker(
            host=self.link.host,
            name=self.name,
            pid=os.getpid(),
            slots=self.slots,
            cpus=self.place.cpus,
            memory_bytes=self.place.memory_bytes,
            room_key=self.place.room_key,
            cpu_mask=self.place.cpu_mask,
            batch_id=self.place.batch_id,
            pilot=self.place.pilot,
            left_s=None if self.term is None else self.term.ends_s - time.monotonic(),
            usable_s=None if self.term is None else self.term.usable_s(),
            scratch=self.scratch_root,
            boot_id=boot_id(),
            lease_s=self.lease_s,
            tags=self.tags,
        )
        return self.link.enlist(new)
