"""The link of a worker that has the store's database at hand. Nothing else in `work` knows the store."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stoker.errors import Bug, StoreGone
from stoker.model.id_types import AttemptId, TaskId, VersionId, WorkerId
from stoker.model.member import Member
from stoker.model.pipeline import Pipeline
from stoker.model.shares import Ledger
from stoker.model.task import Claimed, Content, Result, Started, Wanted
from stoker.model.worker import Grant, NewWorker, Portion, Reaped, Renewal, TimeLeft, WorkLeft
from stoker.rights import Rights
from stoker.store.claims import claim, workers
from stoker.store.ends import finish, reap
from stoker.store.holdings import error_folders, publications
from stoker.store.unit import Store


class StoreLink:
    """Asks an open store, which stays the caller's to close. `Link` has the contract of each verb."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def store_id(self) -> str:
        """The store's own id. Bug if the store was not opened."""
        uid = self._store.identity.uid
        if uid is None:
            raise Bug("a store that was not opened has no workers")
        return uid

    @property
    def host(self) -> str:
        """The host's name."""
        return self._store.host

    @property
    def folder(self) -> Path:
        """The store's folder."""
        return self._store.folder

    @property
    def rights(self) -> Rights:
        """The store's."""
        return self._store.rights

    @property
    def is_here(self) -> bool:
        """Whether the database is a file."""
        return self._store.dialect.is_one_host

    @property
    def gone(self) -> StoreGone | None:
        """Why the store can be used no more."""
        return self._store.identity.gone

    def enlist(self, new: NewWorker) -> WorkerId:
        """A new worker is alive."""
        return workers.enlist(self._store, new)

    def renew(self, worker_id: WorkerId, *, lease_s: float) -> Renewal:
        """The lease lasts `lease_s` from now."""
        with self._store.ahead_of_others():
            return workers.renew(self._store, worker_id, lease_s=lease_s)

    def note_trouble(self, worker_id: WorkerId, trouble: str | None) -> None:
        """The worker's trouble can be read."""
        workers.note_trouble(self._store, worker_id, trouble)

    def retire(self, worker_id: WorkerId) -> None:
        """The worker has ended."""
        workers.retire(self._store, worker_id)

    def is_gone(self, worker_id: int) -> bool:
        """Whether the worker has ended or died."""
        return workers.is_gone(self._store, worker_id)

    def claim(
        self,
        worker_id: WorkerId,
        *,
        limit: int,
        cpus_free: int,
        memory_free_bytes: int | None = None,
        portion: Portion | None = None,
        ledger: Ledger | None = None,
        left: TimeLeft | None = None,
    ) -> Grant:
        """Up to `limit` tasks are running for the worker."""
        return claim.claim(
            self._store,
            worker_id,
            limit=limit,
            cpus_free=cpus_free,
            memory_free_bytes=memory_free_bytes,
            portion=portion,
            ledger=ledger,
            left=left,
        )

    def pipeline_of(self, version_id: VersionId) -> Pipeline:
        """Return the pipeline as that version has it."""
        return claim.pipeline_of(self._store, version_id)

    def anything_left(self) -> WorkLeft:
        """Return what is left to do."""
        return claim.anything_left(self._store)

    def has_nothing_for(
        self,
        worker_id: WorkerId,
        *,
        cpus_free: int,
        memory_free_bytes: int,
        left: TimeLeft | None = None,
    ) -> bool:
        """Whether nothing will come for this worker."""
        return claim.has_nothing_for(
            self._store,
            worker_id,
            cpus_free=cpus_free,
            memory_free_bytes=memory_free_bytes,
            left=left,
        )

    def note_started(self, started: Sequence[Started]) -> None:
        """Running attempts show what they are."""
        finish.note_started(self._store, started)

    def note_publishing(self, since_us: Mapping[AttemptId, int]) -> None:
        """Running attempts show since when they publish."""
        finish.note_publishing(self._store, since_us)

    def members_of(self, claimed: Claimed, after: str) -> Sequence[Member]:
        """Return the next members of a group."""
        from stoker.store.groups import member_pages  # few tasks have members

        return member_pages.members_of(self._store, claimed.item_id, after=after)

    def contents_of(
        self, task_id: TaskId, paths: Sequence[str]
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return what the task may have published at these paths."""
        return publications.contents_of(self._store, task_id, paths)

    def staging(self, claimed: Claimed) -> str | None:  # noqa: ARG002 - the same for all
        """Return nothing: outputs are published by the worker."""
        return None

    def reserve(self, attempt: AttemptId, task_id: TaskId, wanted: Sequence[Wanted]) -> None:
        """The task owns these paths."""
        publications.reserve(self._store, attempt, task_id, wanted)

    def error_contents_of(
        self, task_id: TaskId, paths: Sequence[str]
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return what the item's tasks may have left at these paths."""
        return error_folders.contents_of(self._store, task_id, paths)

    def failed_beside(self, task_id: TaskId) -> frozenset[AttemptId]:
        """Return after which attempts other tasks of the item have failed."""
        return error_folders.failed_beside(self._store, task_id)

    def begin_error_folder(self, attempt: AttemptId, task_id: TaskId, names: Sequence[str]) -> None:
        """The item's error folder is to be there."""
        error_folders.begin(self._store, attempt, task_id, names)

    def reserve_error_folder(self, attempt: AttemptId, task_id: TaskId, wanted: Wanted) -> None:
        """The path is the item's error folder."""
        error_folders.reserve(self._store, attempt, task_id, wanted)

    def finish(self, results: Sequence[Result]) -> frozenset[AttemptId]:
        """Every result that still counts is recorded."""
        return finish.finish(self._store, results)

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Tasks that never started are ready again."""
        finish.give_back(self._store, claimed)

    def reap(self, *, dead_workers: Sequence[int] = ()) -> Reaped:
        """What dead workers held is ready again."""
        return reap.reap(self._store, dead_workers=dead_workers)

    def next_due_us(self) -> int | None:
        """Return when the next task comes out of its back-off."""
        return workers.next_due_us(self._store)

    def promote_due(self) -> int:
        """Tasks whose back-off is over may be claimed."""
        return reap.promote_due(self._store)

    def break_off(self) -> None:
        """Every connection is severed."""
        self._store.break_off()
