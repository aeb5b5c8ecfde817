"""The link of a worker that reaches no store, but the spool of its outpost.

What it asks for it takes from `todo` by rename; what it records is a file in `done`. It has no lease:
nothing decides on its attempts because it was silent, and a file system that hangs kills nothing.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from stoker.errors import StoreGone, Unavailable
from stoker.failpoints import hit
from stoker.model.id_types import AttemptId, TaskId, VersionId, WorkerId
from stoker.model.member import Member
from stoker.model.pipeline import Pipeline, Verdict
from stoker.model.shares import Ledger
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Content, Result, Started, Stream, Wanted
from stoker.model.worker import (
    Filling,
    Grant,
    NewWorker,
    Portion,
    Reaped,
    Renewal,
    TimeLeft,
    WorkLeft,
)
from stoker.outpost import sealed
from stoker.outpost.bundle import Bundle, Delivered, Staged
from stoker.outpost.members import SentMembers
from stoker.outpost.plain import from_plain, to_plain
from stoker.outpost.sealed import Broken
from stoker.outpost.spool import Spool, attempt_in
from stoker.outpost.starts import is_over, own_facts
from stoker.rights import PRIVATE, Rights
from stoker.spec.canon import load_pipeline

_T = TypeVar("_T")
LEASE_S = 10 * 365 * 86400.0  # of a worker that nobody waits for
_FRESH_S = 5.0  # for which names in `todo` are believed
_STREAM_BYTES = 60 * 1024  # of a stream that come home
_AMONG = 8  # first names among which a start chooses, so that starts do not all want the same


class FilesLink:
    """Asks a spool, of which `check` has been called. `Link` has the contract of each verb."""

    def __init__(self, spool: Spool, *, pilot: str | None = None) -> None:
        self._spool = spool
        self._pilot = pilot
        self._start = ""
        self._names: list[str] = []
        self._listed_s = -_FRESH_S
        self._held: dict[AttemptId, str] = {}  # what was taken, by its name in `todo`
        self._epochs: dict[AttemptId, int] = {}  # of the store that sent it
        self._batch_id: str | None = None
        self._versions: dict[VersionId, str] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._began: set[AttemptId] = set()
        self._members = SentMembers(spool)

    # --------------------------------------------------------------------------- what is known of it

    @property
    def store_id(self) -> str:
        """The spool's own id."""
        return self._spool.uid

    @property
    def host(self) -> str:
        """The host's name."""
        return socket.gethostname()

    @property
    def folder(self) -> Path:
        """The spool."""
        return Path(self._spool.folder)

    @property
    def rights(self) -> Rights:
        """The account's own."""
        return PRIVATE

    @property
    def is_here(self) -> bool:
        """A full disk there stops what is recorded, too."""
        return True

    @property
    def gone(self) -> StoreGone | None:
        """Why the spool can be used no more."""
        try:
            os.lstat(self._spool.at("outpost.json"))
        except FileNotFoundError:
            return StoreGone(f"the spool `{self._spool.folder}` was removed")
        except OSError:
            return None
        return None

    # ------------------------------------------------------------------------------------ the worker

    def enlist(self, new: NewWorker) -> WorkerId:
        """A new start is known, before it takes anything."""
        number = random.SystemRandom().getrandbits(48) or 1
        self._start = f"{number:012x}"
        self._held.clear()
        self._batch_id = new.batch_id
        facts = own_facts() | {"name": new.name, "slots": new.slots, "batch_id": new.batch_id}
        facts |= {} if self._pilot is None else {"pilot": self._pilot}
        self._asked(lambda: self._spool.begin_start(self._start, facts, pilot=self._pilot))
        hit("outpost.enlisted")
        return WorkerId(number)

    def renew(self, worker_id: WorkerId, *, lease_s: float) -> Renewal:  # noqa: ARG002 - it has none
        """What the start has taken is its own; what somebody wants ended is to be cancelled."""
        start = f"{worker_id:012x}"
        held = self._asked(lambda: self._spool.held_by(start))
        is_alive = os.path.lexists(self._spool.at("starts", f"{start}.json"))
        running = frozenset(AttemptId(bytes.fromhex(one)) for one in held)
        cancel = frozenset(one for one in running if self._spool.is_to_stop(one.hex()))
        return Renewal(is_alive=is_alive, running=running, cancel=cancel, lease_until_us=0)

    def note_trouble(self, worker_id: WorkerId, trouble: str | None) -> None:
        """Nobody there reads it."""

    def retire(self, worker_id: WorkerId) -> None:
        """The start is over."""
        self._asked(lambda: self._spool.end_start(f"{worker_id:012x}"))

    def is_gone(self, worker_id: int) -> bool:
        """Whether the start is over, as far as that can be seen from here."""
        try:
            facts = sealed.read(self._spool.at("starts", f"{worker_id:012x}.json"))
        except FileNotFoundError:
            return True
        except Broken:
            return False
        return is_over(facts) is True

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
        """Take what waits and fits, in about the order in which it is to begin.

        How long it takes is not known here: in the second half of its time a worker begins nothing.
        """
        start = f"{worker_id:012x}"
        ledger = Ledger() if ledger is None else ledger
        filling = Filling(portion) if portion is not None else None
        taken: list[Claimed] = []
        if left is not None and not left.is_early:
            return Grant(taken, ledger, is_crowded=False)
        for name in self._candidates():
            if len(taken) >= limit:
                break
            bundle = self._look_at(name)
            if bundle is None:
                continue
            one = bundle.claimed
            needs = one.memory_bytes or 0
            if one.cpus > cpus_free or (
                memory_free_bytes is not None and needs > memory_free_bytes
            ):
                continue
            if filling and not filling.wants(one.version_id, one.step, one.memory_bytes):
                break
            if not self._asked(partial(self._spool.take, name, start)):
                self._names.remove(name)
                continue
            self._names.remove(name)
            hit("outpost.taken")
            if not self._members.have_come(one.attempt, bundle.pages):
                self._spool.set_aside("taken", f"{one.attempt.hex()}.{start}")
                continue
            self._held[one.attempt] = name
            self._epochs[one.attempt] = bundle.epoch
            self._versions[one.version_id] = bundle.version
            taken.append(one)
        return Grant(taken, ledger, is_crowded=False)

    def _candidates(self) -> list[str]:
        """Return names in `todo`; the first few in any order."""
        if not self._names or time.monotonic() - self._listed_s > _FRESH_S:
            self._names = self._asked(self._spool.waiting)
            self._listed_s = time.monotonic()
        first, rest = self._names[:_AMONG], self._names[_AMONG:]
        random.shuffle(first)
        return [*first, *rest]

    def _look_at(self, name: str) -> Bundle | None:
        """Return the bundle; None if it is gone, or cannot be read, and then it is set aside."""
        try:
            found = from_plain(Bundle, sealed.read(self._spool.at("todo", name)))
        except FileNotFoundError:
            self._names.remove(name)
            return None
        except ValueError:
            found = None
        if found is None or found.claimed.attempt.hex() != attempt_in(name):
            self._spool.set_aside("todo", name)
            self._names.remove(name)
            return None
        return found

    def pipeline_of(self, version_id: VersionId) -> Pipeline:
        """Return the pipeline as the bundles' version has it."""
        name = self._versions[version_id]
        found = self._pipelines.get(name)
        if found is None:
            try:
                text = sealed.read(self._spool.at("versions", f"{name}.json"))["spec"]
            except (OSError, Broken, LookupError, TypeError) as error:
                raise Unavailable(
                    f"version `{name}` of a pipeline cannot be read: {error}"
                ) from None
            found = self._pipelines[name] = load_pipeline(text)
        return found

    def anything_left(self) -> WorkLeft:
        """Return whether anything waits."""
        waiting = self._asked(self._spool.waiting)
        return WorkLeft(ready=bool(waiting), running=False, waiting=False)

    def has_nothing_for(
        self,
        worker_id: WorkerId,  # noqa: ARG002 - all starts get the same
        *,
        cpus_free: int,
        memory_free_bytes: int,
        left: TimeLeft | None = None,  # noqa: ARG002 - as with `claim`
    ) -> bool:
        """Whether nothing that waits fits."""
        self._listed_s = -_FRESH_S
        for name in self._candidates():
            bundle = self._look_at(name)
            if bundle is not None:
                one = bundle.claimed
                if one.cpus <= cpus_free and (one.memory_bytes or 0) <= memory_free_bytes:
                    return False
        return True

    def note_started(self, started: Sequence[Started]) -> None:
        """The attempt is not given back any more."""
        self._began.update(one.attempt for one in started)

    def note_publishing(self, since_us: Mapping[AttemptId, int]) -> None:
        """Nobody there reads it."""

    def members_of(self, claimed: Claimed, after: str) -> Sequence[Member]:
        """Return the next page of the group's members, which were sent beside the bundle."""
        return self._asked(lambda: self._members.after(claimed.attempt, after))

    def contents_of(
        self,
        task_id: TaskId,  # noqa: ARG002 - as below
        paths: Sequence[str],  # noqa: ARG002 - nothing is in the way of what is staged
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return nothing: outputs are staged where nothing was before."""
        return {}

    def staging(self, claimed: Claimed) -> str | None:
        """Return the folder in which the attempt's outputs wait until a visit publishes them."""
        return self._spool.at("runs", claimed.attempt.hex(), self._start, "out")

    def reserve(self, attempt: AttemptId, task_id: TaskId, wanted: Sequence[Wanted]) -> None:
        """Nothing: the visit asks the fence, before anything is published."""

    def error_contents_of(
        self,
        task_id: TaskId,  # noqa: ARG002 - there are no error folders at an outpost
        paths: Sequence[str],  # noqa: ARG002 - as above
    ) -> Mapping[str, tuple[Content, ...]]:
        """Return nothing: the store's side keeps error folders."""
        return {}

    def failed_beside(self, task_id: TaskId) -> frozenset[AttemptId]:  # noqa: ARG002 - as above
        """Return nothing, as nobody there knows."""
        return frozenset()

    def begin_error_folder(self, attempt: AttemptId, task_id: TaskId, names: Sequence[str]) -> None:
        """Nothing: the store's side keeps error folders."""

    def reserve_error_folder(self, attempt: AttemptId, task_id: TaskId, wanted: Wanted) -> None:
        """Nothing: the store's side keeps error folders."""

    def finish(self, results: Sequence[Result]) -> frozenset[AttemptId]:
        """Each result is in `done`, unless the attempt is the start's no more, or has one already."""
        stale = frozenset(result.attempt for result in results if not self._finish(result))
        self._asked(lambda: self._spool.sync("done"))
        for result in results:
            self._asked(partial(self._spool.leave, result.attempt.hex(), self._start))
        return stale

    def _finish(self, result: Result) -> bool:
        attempt, start = result.attempt.hex(), self._start
        if self._is_done(attempt, start):
            return True
        if not self._asked(lambda: self._spool.has_taken(attempt, start)):
            return False
        name = self._held.pop(result.attempt, None)
        self._members.forget(result.attempt)
        is_new = result.verdict is Verdict.LATER and result.started_us is None
        if is_new and name is not None and result.state is AttemptState.CANCELLED:
            return self._asked(lambda: self._spool.give_back(name, start))
        delivered = replace(
            _delivered(result, start=start, node=socket.gethostname()),
            batch_id=self._batch_id,
            epoch=self._epochs.pop(result.attempt, 0),
        )
        plain = to_plain(delivered)
        return self._asked(lambda: self._spool.end(attempt, start, plain))

    def _is_done(self, attempt: str, start: str) -> bool:
        """Whether this start's result is in place already, so that only its answer was lost."""
        own = self._spool.at("runs", attempt, start, "result.json")
        with suppress(OSError):
            return os.path.samefile(own, self._spool.at("done", f"{attempt}.json"))
        return False

    def give_back(self, claimed: Sequence[Claimed]) -> None:
        """What was taken and never began waits again."""
        for one in claimed:
            name = self._held.pop(one.attempt, None)
            if name is not None:
                self._asked(partial(self._spool.give_back, name, self._start))

    # ---------------------------------------------------------------------------- what is done for all

    def reap(self, *, dead_workers: Sequence[int] = ()) -> Reaped:  # noqa: ARG002 - visits do
        """Nothing: visits see to what dead starts have left."""
        return Reaped()

    def next_due_us(self) -> int | None:
        """Return nothing: whatever waits here may begin."""
        return None

    def promote_due(self) -> int:
        """Nothing is in back-off here."""
        return 0

    def break_off(self) -> None:
        """Nobody waits."""

    def _asked(self, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except OSError as error:
            raise Unavailable(
                f"the spool `{self._spool.folder}` does not answer: {error.strerror or error}"
            ) from error


def _delivered(result: Result, *, start: str, node: str) -> Delivered:
    """Return a result with its outputs as what is staged."""
    staged = []
    for one in result.outputs:
        folder, basename = os.path.split(one.path)
        staged.append(
            Staged(
                name=one.name,
                position=int(os.path.basename(folder)),
                basename=basename,
                size_bytes=one.size_bytes,
                checksum=one.checksum,
            )
        )
    bare = replace(
        result, outputs=(), stdout=_as_text(result.stdout), stderr=_as_text(result.stderr)
    )
    return Delivered(result=bare, start=start, node=node, staged=tuple(staged))


def _as_text(stream: Stream) -> Stream:
    """Return a stream with its end as text; the whole of it stays in its file for a while."""
    if stream.path is None:
        return stream
    text = b""
    with suppress(OSError), open(stream.path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _STREAM_BYTES, 0))
        text = file.read(_STREAM_BYTES)
    is_cut = stream.truncated or stream.size_bytes > len(text)
    return Stream(size_bytes=stream.size_bytes, truncated=is_cut, text=text)
