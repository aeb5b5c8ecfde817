"""The results that wait at an outpost: published there, once the store has let them, and recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.errors import OutputConflict, StaleAttempt, StokerError, Unavailable
from stoker.failpoints import hit
from stoker.model.outpost import Outpost
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Published, Result, Wanted
from stoker.model.words import shown
from stoker.outpost.accept import BadResult, accept
from stoker.outpost.bundle import Delivered
from stoker.outpost.dial import Line
from stoker.outpost.plain import from_plain, to_plain
from stoker.outpost.recording import SOME, check_wanted, ended, failed, outputs_of, pieces
from stoker.outpost.visited import Counts
from stoker.store.ends import finish
from stoker.store.holdings import publications
from stoker.store.outposts.entries import note_batch_jobs
from stoker.store.reports.carried import Carried, given_to

if TYPE_CHECKING:
    from stoker.model.id_types import AttemptId
    from stoker.store.unit import Store


class Results:
    """Takes results over a visit's line. `trouble` is why some of them wait for another visit."""

    def __init__(
        self, store: "Store", outpost: Outpost, line: Line, *, place: int, done: Counts
    ) -> None:
        self._store = store
        self._outpost = outpost
        self._line = line
        self._place = place
        self._done = done
        self._jobs: dict[AttemptId, str] = {}  # the batch jobs in which attempts ran
        self._kept: set[str] = set()  # attempts whose results are left for another visit
        self.is_more = False
        self.trouble: str | None = None

    def take(
        self, there: Mapping[str, str], mine: Mapping[str, Carried], has_time: Callable[[], bool]
    ) -> None:
        """The results that are there are recorded, as long as there is time."""
        todo = [one for one in mine if there.get(one) == "done"]
        while todo and has_time():
            found = self._line.ask("results", {"attempts": todo[:SOME]})
            some = [one for one in todo[:SOME] if one in found]
            if not some:
                raise Unavailable(f"`{self._outpost.name}` does not show its results")
            results = [
                result
                for one in some
                if (result := self._result(mine[one], found[one])) is not None
            ]
            note_batch_jobs(self._store, self._jobs)
            self._jobs.clear()
            self.record(results, mine)
            hit("visit.recorded")
            self.forget([one for one in some if one not in self._kept])
            todo = todo[len(some) :]
        self.is_more |= bool(todo)

    def _result(self, one: Carried, raw: Any) -> Result | None:
        """Return what is to be recorded of the attempt; None if it does not count any more."""
        if isinstance(raw, dict) and "broken" in raw:
            reason = f"its result at `{self._outpost.name}` is damaged: {shown(str(raw['broken']))}"
            return ended(one, AttemptState.LOST, Verdict.RETRY, reason)
        try:
            delivered = accept(raw, one)
        except BadResult as bad:
            reason = (
                f"`{self._outpost.name}` brought a result that makes no sense: {shown(str(bad))}"
            )
            return ended(one, AttemptState.FAILED, Verdict.RETRY, reason[:1000], "bad result")
        if delivered.batch_id is not None:
            self._jobs[one.attempt] = delivered.batch_id
        result = replace(delivered.result, place=self._place)
        if not delivered.staged:
            return result
        return self._published(one, delivered, result)

    def _published(self, one: Carried, delivered: Delivered, result: Result) -> Result | None:
        """Return the result with its outputs, which are at their paths; or as failed."""
        try:
            outputs = outputs_of(self._outpost, delivered, *given_to(self._store, one))
        except (StokerError, ValueError) as error:
            return failed(result, shown(str(error)), "output")
        answer = self._line.ask(
            "publish",
            {
                "attempt": one.attempt.hex(),
                "start": delivered.start,
                "outputs": outputs,
            },
            on_ask=lambda question: self._answer(one, delivered, question),
        )
        hit("visit.published")
        if answer.get("stale"):
            return None
        if "later" in answer:  # it has done its work, and what it made waits there
            self.trouble = shown(str(answer["later"]))[:1000]
            self._kept.add(one.attempt.hex())
            self.is_more = True
            return None
        if "failed" in answer:
            cause = str(answer.get("cause", "output"))[:100]
            return failed(result, shown(str(answer["failed"]))[:4000], shown(cause))
        return replace(
            result,
            outputs=tuple(
                Published(
                    name=out["name"],
                    path=out["target"],
                    size_bytes=out["size_bytes"],
                    checksum=out["checksum"],
                )
                for out in outputs
            ),
        )

    def _answer(
        self, one: Carried, delivered: Delivered, question: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what the far end asks while it publishes: the record of paths, and the fence."""
        try:
            if question["ask"] == "contents_of":
                paths = [str(path) for path in question["paths"]]
                found = publications.contents_of(self._store, one.task_id, paths, place=self._place)
                return {
                    "answer": {path: [to_plain(c) for c in known] for path, known in found.items()}
                }
            wanted = [from_plain(Wanted, raw) for raw in question["wanted"]]
            check_wanted(wanted, delivered)
        except (ValueError, LookupError, TypeError) as error:
            return {"refused": "other", "text": f"this question makes no sense: {error}"}
        try:
            publications.reserve(self._store, one.attempt, one.task_id, wanted, place=self._place)
        except StaleAttempt as error:
            return {"refused": "stale", "text": str(error)}
        except OutputConflict as error:
            return {"refused": "conflict", "text": str(error)}
        hit("visit.reserved")
        return {"answer": {}}

    def record(self, results: Sequence[Result], mine: Mapping[str, Carried]) -> None:
        """All of them are recorded; one that the store refuses is recorded as failed."""
        try:
            stale = finish.finish(self._store, results)
        except Unavailable:
            raise
        except StokerError:
            if len(results) > 1:
                for one in results:
                    self.record([one], mine)
                return
            (bad,) = results
            known = mine[bad.attempt.hex()]
            reason = f"`{self._outpost.name}` brought a result that cannot be recorded"
            bad_end = ended(known, AttemptState.FAILED, Verdict.RETRY, reason, "bad result")
            results, stale = [bad_end], finish.finish(self._store, [bad_end])
        for one in results:
            if one.attempt in stale:
                continue
            if one.state is AttemptState.LOST:
                self._done.lost += 1
            else:
                self._done.recorded += 1
                self._done.failed += one.state is not AttemptState.SUCCEEDED

    def forget(self, attempts: Sequence[str], *, is_foreign: bool = False) -> None:
        """Nothing of these attempts is left there.

        Of foreign ones what a later state of this store has had done, which is a backup, is kept there.
        """
        for some in pieces(attempts):
            self._line.ask("forget", {"attempts": list(some), "is_foreign": is_foreign})
            self._done.forgotten += len(some)
