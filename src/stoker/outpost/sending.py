"""The near end's part in handing out: claimed tasks as bundles, in questions that are not too long."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stoker.failpoints import hit
from stoker.model.outpost import Outpost
from stoker.model.pipeline import ItemKind, Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Result
from stoker.outpost.bundle import Bundle
from stoker.outpost.dial import Line
from stoker.outpost.members import TooLarge, pages_of
from stoker.outpost.plain import to_plain
from stoker.outpost.versions import version_of
from stoker.store.claims import claim
from stoker.store.ends import finish
from stoker.store.reports.carried import okeys_of

if TYPE_CHECKING:
    from stoker.store.unit import Store

MOST_BYTES = 4 * 1024 * 1024  # of a bundle, and of all in a question


class Sending:
    """Hands tasks out over a visit's line."""

    def __init__(self, store: "Store", outpost: Outpost, line: Line) -> None:
        self._store = store
        self._outpost = outpost
        self._line = line

    def send(self, tasks: Sequence[Claimed]) -> list[Claimed]:
        """Return the tasks that wait there now. One that is too large for that has failed."""
        order = okeys_of(self._store, [one.task_id for one in tasks])
        versions: dict[str, Any] = {}
        bundles: list[Any] = []
        sent: list[Claimed] = []
        size = 0
        for one in tasks:
            try:
                pages = self._send_members(one)
            except TooLarge as too_large:
                finish.finish(self._store, [_too_large(one, too_large.size_bytes)])
                continue
            name, bundle = self._bundle(one, order[one.task_id], versions, pages)
            length = len(json.dumps(bundle))
            if length > MOST_BYTES:
                finish.finish(self._store, [_too_large(one, length)])
                continue
            if size + length > MOST_BYTES:
                self._ask(versions, bundles)
                bundles, size = [], 0
                versions = {name: versions[name]}
            bundles.append(bundle)
            size += length
            sent.append(one)
        self._ask(versions, bundles)
        return sent

    def _ask(self, versions: dict[str, Any], bundles: list[Any]) -> None:
        if bundles:
            self._line.ask("bundles", {"versions": versions, "bundles": bundles})

    def _send_members(self, one: Claimed) -> int:
        """Of a group, its members are there; return in how many pages."""
        if claim.pipeline_of(self._store, one.version_id).items is not ItemKind.GROUPS:
            return 0
        number = 0
        for number, page in enumerate(pages_of(self._store, one), 1):
            asked = {"attempt": one.attempt.hex(), "number": number, "page": page}
            self._line.ask("members", asked)
            hit("visit.members_sent")
        return number

    def _bundle(
        self, one: Claimed, okey: int, versions: dict[str, Any], pages: int
    ) -> tuple[str, Any]:
        pipeline = claim.pipeline_of(self._store, one.version_id)
        name, text = version_of(pipeline, self._outpost)
        versions[name] = {"spec": text}
        return name, [
            okey,
            one.attempt.hex(),
            to_plain(Bundle(claimed=one, version=name, pages=pages, epoch=self._store.epoch)),
        ]


def _too_large(claimed: Claimed, size_bytes: int) -> Result:
    """Return the end of an attempt that cannot be sent out."""
    return Result(
        attempt=claimed.attempt,
        task_id=claimed.task_id,
        state=AttemptState.FAILED,
        verdict=Verdict.FAIL,
        ended_us=time.time_ns() // 1000,
        reason=f"it is given {size_bytes / 2**20:.0f} MiB of values and names of files, which is more "
        f"than the {MOST_BYTES >> 20} MiB that can be sent to another site",
        cause="too large to be sent",
    )
