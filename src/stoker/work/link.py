"""What a worker asks of the store, and all that it asks: the seam between carrying out and recording.

Everything in `work` reaches the store through a `Link`. `StoreLink` is the one for a worker that has
the database at hand. Others may be between a worker and its store: a service that is asked over HTTP,
or a folder through which bundles of tasks and their ends pass. So every value that crosses is plain:
it can be written down and read by another process. No verb hands out a transaction, a row of the
database or a function, and none takes one.

Three promises hold for every verb:

- It has happened as a whole when it returns, and as a whole or not at all when it raises or the
  process dies, except where its text says otherwise.
- `Unavailable` means that nobody knows whether it has happened: the answer may be lost. Every verb but
  `enlist` and `claim` may then be called again with the same values. After `claim` the caller ends its
  incarnation, so that what it may hold unknowingly is given to others; after `enlist` a row that
  nobody uses dies with its lease.
- `StoreGone` means that the store has been removed or replaced. It is final, and `gone` has it for
  all threads.

Any thread may call any verb.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stoker.errors import StoreGone
from stoker.model.id_types import AttemptId, TaskId, VersionId, WorkerId
from stoker.model.member import Member
from stoker.model.pipeline import Pipeline
from stoker.model.shares import Ledger
from stoker.model.task import Claimed, Content, Result, Started, Wanted
from stoker.model.worker import Grant, NewWorker, Portion, Reaped, Renewal, TimeLeft, WorkLeft
from stoker.rights import Rights


class Link(Protocol):
    """The store, as far as a worker on this host has to do with it."""

    # --------------------------------------------------------------------------- what is known of it

    @property
    def store_id(self) -> str:
        """What names the store in marks and owner files: its own, however it is reached."""

    @property
    def host(self) -> str:
        """The name of this host in the store: the same for all workers on it."""

    @property
    def folder(self) -> Path:
        """The folder of the store's files that this host sees: logs, and scratch by default."""

    @property
    def rights(self) -> Rights:
        """Who may read what is made in that folder."""

    @property
    def is_here(self) -> bool:
        """Whether the store itself is in that folder, so that a full disk there stops it too."""

    @property
    def gone(self) -> StoreGone | None:
        """Why the store can be used no more, once any thread has found out; else None."""

    # ------------------------------------------------------------------------------------ the worker

    def enlist(self, new: NewWorker) -> WorkerId:
        """A new worker is alive, with a lease of `new.lease_s` from now; return its id.

        Ids are never given twice. Its host has its slots of the pools that are per host.
        """

    def renew(self, worker_id: WorkerId, *, lease_s: float) -> Renewal:
        """The lease lasts `lease_s` from now, by the store's clock, and the answer has the orders.

        One whose lease has run out is renewed as long as nobody has declared it dead. Of one that was
        declared dead nothing changes, and `is_alive` is False: whatever it holds belongs to others.
        It waits for no other call of this worker. A power cut of the store's host may undo a renewal.
        """

    def note_trouble(self, worker_id: WorkerId, trouble: str | None) -> None:
        """Readers of the worker's row learn why it claims nothing; None: it claims again."""

    def retire(self, worker_id: WorkerId) -> None:
        """The worker has ended. It holds nothing: the caller has ended or given back all attempts.

        Had it been declared dead, nothing changes.
        """

    def is_gone(self, worker_id: int) -> bool:
        """Whether the worker has ended, died, lost its lease to the clock, or was never there.

        True allows its processes on this host to be killed and its scratch to be removed.
        """

    # ------------------------------------------------------------------------------------- its tasks

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
        """Up to `limit` tasks are running, each with a new attempt of this worker; return them.

        In the order of priority, rank and arrival, or of fair shares by the `ledger`; the ledger that
        comes back replaces it. `cpus_free` and `memory_free_bytes` (None: all of the worker's) bound
        what a single task may need; what other workers of the place hold is taken off. The claim ends
        with the first task that the `portion` has no room for. Of a worker that has an end, `left` is
        its time until then.
        Slots of pools are held from now until the attempt has ended.

        StaleAttempt: the worker was declared dead and gets nothing. If the worker dies, its attempts
        are lost with it and the tasks become ready again. A power cut of the store's host may undo
        the claim: then `finish` and `reserve` find the attempts stale.
        """

    def pipeline_of(self, version_id: VersionId) -> Pipeline:
        """Return the pipeline as that version has it. Versions never change; the link keeps it."""

    def anything_left(self) -> WorkLeft:
        """Return what is left to do in the whole store, at one moment; what is out elsewhere is not."""

    def has_nothing_for(
        self,
        worker_id: WorkerId,
        *,
        cpus_free: int,
        memory_free_bytes: int,
        left: TimeLeft | None = None,
    ) -> bool:
        """Whether nothing will come for this worker, which holds nothing, unless from outside.

        Nobody holds or waits for anything and nothing that is ready fits it, both at one moment.
        Nothing is changed. StaleAttempt: the worker was declared dead.
        """

    def note_started(self, started: Sequence[Started]) -> None:
        """Running attempts show their pid, start and command. Those that have ended stay as they are."""

    def note_publishing(self, since_us: Mapping[AttemptId, int]) -> None:
        """Running attempts show since when their outputs are being published. The others stay as they are."""

    def members_of(self, claimed: Claimed, after: str) -> Sequence[Member]:
        """Return the next members, with keys above `after`, of the group that its item stands for.

        As they were when the group was complete, some thousands; none: there are no more. To be asked
        for in order, from the key "" on.
        """

    def contents_of(
        self, task_id: TaskId, paths: Sequence[str]
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return what the task may have published at these paths: the last, and the one before.

        Paths that are not the task's own are left out.
        """

    def staging(self, claimed: Claimed) -> str | None:
        """Return the folder in which the attempt's outputs wait, as others will publish them.

        None: the worker publishes them itself, at their paths.
        """

    def reserve(self, attempt: AttemptId, task_id: TaskId, wanted: Sequence[Wanted]) -> None:
        """The task owns these paths, and what it is about to publish there is recorded.

        To be called before anything is published. It is the fence: StaleAttempt if the task has
        another attempt by now. OutputConflict if a path is another task's, inside or around one, or
        has something that is not the task's. Nothing is reserved then. What is reserved survives a
        power cut, and after a crash between publishing and `finish` the next attempt knows by it
        what it may replace.
        """

    def error_contents_of(
        self, task_id: TaskId, paths: Sequence[str]
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return what tasks of the item may have left at these paths as its error folder."""

    def failed_beside(self, task_id: TaskId) -> frozenset[AttemptId]:
        """Return the attempts after which other tasks of the item have failed for good, and still are."""

    def begin_error_folder(self, attempt: AttemptId, task_id: TaskId, names: Sequence[str]) -> None:
        """The item's error folder is to be at the path that these names lead to.

        To be called for a running attempt that will have been its task's last, before anybody looks
        what is there. StaleAttempt as the fence says. Unavailable, and nothing is noted, while an
        attempt of another task of the item has begun and not ended.
        """

    def reserve_error_folder(self, attempt: AttemptId, task_id: TaskId, wanted: Wanted) -> None:
        """The path is the item's error folder, and what is about to be there is recorded.

        As `reserve`, but that it may replace what another task of the item has left there.
        """

    def finish(self, results: Sequence[Result]) -> frozenset[AttemptId]:
        """Every result that still counts is recorded; return the attempts whose results do not.

        All in one transaction, with what follows: successors are ready, retries are due, slots of
        pools are free, and those of stale attempts too. It survives a power cut. A result that is
        delivered again, word for word, counts as before and changes nothing.

        Any other StokerError: a result was refused, and none of the batch is recorded.
        """

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Tasks that were claimed and never started are ready again, for anybody.

        Stale ones stay as they are. The attempt uses up no retry.
        """

    # ---------------------------------------------------------------------------- what is done for all

    def reap(self, *, dead_workers: Sequence[int] = ()) -> Reaped:
        """Workers whose lease has run out are dead, and what dead workers held is ready again.

        `dead_workers` are known to be dead by other means, and do not get the rest of their lease.
        In several transactions, each whole by itself; the next call does what is left.
        """

    def next_due_us(self) -> int | None:
        """Return when the next task comes out of its back-off, in microseconds since the epoch."""

    def promote_due(self) -> int:
        """Tasks whose back-off is over may be claimed, up to a thousand; return how many were seen.

        0: there are no more. A power cut of the store's host may undo it; then they are due again.
        """

    # ------------------------------------------------------------------------------------- waiting

    def break_off(self) -> None:
        """Threads that wait for the store wait no longer: Unavailable.

        Called where the lease has run out and the store does not answer.
        """
