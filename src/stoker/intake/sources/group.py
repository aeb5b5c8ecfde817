"""Groups as a source: items of another pipeline that belong together, registered once complete.

The store follows the journal and counts members; here is decided what is outside of it: files that
say what belongs to a group, or that it is complete, and the time.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.intake.member_files import NotReadable, exists, read_names
from stoker.intake.sources.source import Find, Over, Standing
from stoker.model.volume import capacity_bytes
from stoker.spec.group_sources import group_key
from stoker.spec.membership import end_of
from stoker.store.actor import Actor, account_name
from stoker.store.arrivals.sources import find_source
from stoker.store.groups import due, volumes
from stoker.store.groups.completing import Complete, register_complete
from stoker.store.groups.due import DueGroup, Waits
from stoker.store.groups.follower import Follower
from stoker.store.groups.named_members import NamedMembers, compare

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.source import Source
    from stoker.store.unit import Store

_POLL_S = 1.0  # between questions whether the journal has gone on
_REST_S = 60.0  # at most between looks
_FILES_S = 10.0  # between looks at files that are waited for
_SETTLE_S = 1.0  # a file that names members is read once it has not changed for so long
_TOLD = 5  # troubles in words
_FAR_US = 1 << 62


Named = NamedMembers | NotReadable | None  # members as a file names them


class GroupSource:
    """Follows the items of another pipeline, and registers the groups of them that are complete.

    `is_last` looks do not wait for `settle`: everything else is done, and nothing new has come.
    """

    kind = "group"

    def __init__(
        self,
        store: "Store",
        pipeline: "Pipeline",
        declared: "Source",
        *,
        actor: Actor | None = None,
        is_staying: bool = True,
    ) -> None:
        self.name = declared.name
        self.standing = Standing()
        self.is_last = False
        self.settles_in_s = 0.0  # after the last look: until a file that names members has settled
        self._store = store
        self._pipeline = pipeline
        self._actor = actor or Actor(account_name())
        self._is_staying = is_staying
        if declared.group is None:
            raise UserError(f"source `{declared.name}` is not one of groups")
        self._group = declared.group
        self._source_id = find_source(store, pipeline.name, declared.name, kind=self.kind).id
        self._newest_volume = 0
        self._follower = Follower(store, self._source_id, declared.group)

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:  # noqa: ARG002 - kept by the store
        """Yield counts of what was registered: groups that became complete, or changed after that."""
        self.settles_in_s = 0.0
        while self._follower.has_news() or not self._follower.is_sure:
            if not self._follower.step():
                break
        if self._follower.is_sure:
            self._fill()
            while due.count(self._store, self._source_id, self._group):
                pass
            yield from self._decide()
        self._conclude()

    def rest(self, over: Over) -> None:
        """Return when something has happened, or it is time to decide about a group again."""
        until_s = time.monotonic() + _REST_S
        while not over and time.monotonic() < until_s:
            over.rest(_POLL_S)
            due_in_s = due.next_in_s(self._store, self._source_id)
            if due_in_s is not None and due_in_s <= 0:
                return
            if self._follower.has_news() or not self._follower.is_sure:
                return

    def close(self) -> None:
        """Nothing is held outside of looks."""

    def _conclude(self) -> None:
        """The source says how many groups wait, and what is wrong."""
        pending, since_us = due.waiting(self._store, self._source_id)
        now_us = time.time_ns() // 1000
        pending_for_s = None if since_us is None else max(0.0, (now_us - since_us) / 1e6)
        overdue_s = self._group.overdue_s
        said, n = due.troubles(
            self._store,
            self._source_id,
            overdue_us=now_us - int(overdue_s * 1e6)
            if overdue_s is not None and self._is_staying
            else None,
            most=_TOLD,
        )
        more = [f"… and {n - len(said):,} more"] if n > len(said) else []
        if self._follower.followed is None:
            said = (
                [f"the store has no items of `{self._group.pipeline}` yet"]
                if self._is_staying
                else []
            )
        self.standing = Standing(pending, pending_for_s, "\n".join([*said, *more]) or None)

    def _fill(self) -> None:
        """Members that are done are in volumes."""
        followed = self._follower.followed
        if followed is None or self._group.volume_bytes is None:
            return

        def key_of(number: int) -> str:
            return group_key(self._pipeline, "", number)

        while volumes.fill(self._store, followed, key_of):
            pass

    # -------------------------------------------------------------------------------- what is complete

    def _decide(self) -> Iterator[Find]:
        """Decide about all groups that are due; yield what was registered."""
        at_us = None if self._is_staying else _FAR_US  # a run looks at everything again
        if self._group.volume_bytes is not None:
            self._newest_volume = volumes.newest_number(self._store, self._source_id)
        after = 0
        while True:
            groups, now_us = due.due(self._store, self._source_id, at_us=at_us, after=after)
            complete: list[Complete] = []
            waits: list[Waits] = []
            for group in groups:
                found = (
                    self._verdict(group, now_us)
                    if group.number is None
                    else self._verdict_on_volume(group, group.number)
                )
                if isinstance(found, Complete):
                    complete.append(found)
                else:
                    waits.append(found)
            if waits:
                due.note_waits(self._store, self._source_id, waits)
            yield from register_complete(
                self._store,
                self._pipeline.name,
                self._source_id,
                complete,
                self._actor,
                priority=self._pipeline.priority,
            )
            if len(groups) < due.PAGE:
                return
            after = groups[-1].id

    def _verdict(self, group: DueGroup, now_us: int) -> Complete | Waits:
        """Return whether the group is complete, or what it waits for."""
        expected = self._expected(group)
        named = self._named(group)
        missing = 0 if expected is None else max(0, expected - group.members)
        if isinstance(named, NamedMembers):
            missing = max(missing, named.missing_n)
        if group.closed_by is not None:
            return self._complete(group, missing)
        wrong = self._never(group, expected)
        if wrong is not None:
            return self._wrong(group, wrong)
        if group.members > group.over_n or (group.bad_n and not self._group.allow_failed):
            return Waits(group=group)  # it was due for what is wrong with it, and is not wrong
        found = self._time(group, now_us) or self._files(group, named, now_us)
        if found is not None:
            return found
        if missing:
            text = f"{missing:,} more of {expected or 0:,} members"
            return Waits(group=group, waits_for=text)
        return self._complete(group, 0)

    def _verdict_on_volume(self, group: DueGroup, number: int) -> Complete | Waits:
        """Return whether the volume is full, or was closed, or how full it is."""
        if group.closed_by is not None or number < self._newest_volume:
            return Complete(group=group, key=group.key, number=number)
        used = volumes.used_bytes(self._store, group.id)
        room = capacity_bytes(self._group.volume_bytes or 0)
        text = f"more members: {used:,} of {room:,} bytes are filled"
        return Waits(group=group, waits_for=text)

    def _never(self, group: DueGroup, expected: int | None) -> str | None:
        """Return why the group can never be complete with the members that it has, if so."""
        if group.least_expected != group.most_expected:
            lowest, highest = group.least_expected, group.most_expected
            return f"its members disagree on `count`: from {lowest:,} to {highest:,}"
        if expected is not None and group.members > expected:
            return f"it has {group.members:,} members, and `count` is {expected:,}"
        if group.forgotten_n:
            return (
                f"{group.forgotten_n:,} of its members were pruned, so that it cannot be done again "
                "with all of them; `stoker group close` completes it without these"
            )
        return None

    def _expected(self, group: DueGroup) -> int | None:
        count = self._group.count
        return count if isinstance(count, int) else group.most_expected

    def _complete(self, group: DueGroup, missing: int) -> Complete | Waits:
        try:
            return Complete(group=group, key=group_key(self._pipeline, group.key), missing=missing)
        except UserError as error:
            return self._wrong(group, str(error))

    def _wrong(self, group: DueGroup, text: str, again_us: int | None = None) -> Waits:
        return Waits(group=group, trouble=f"group `{group.key}`: {text}", again_us=again_us)

    def _time(self, group: DueGroup, now_us: int) -> Waits | None:
        """Return until when the group waits, if it does for some time."""
        period = self._follower.period
        if period is not None:
            end_us = end_of(period, group.since_us)
            if now_us < end_us:
                return Waits(group=group, again_us=end_us, waits_for=f"the {period} to end")
        settle_s = self._group.settle_s
        if settle_s is not None and not self.is_last:
            end_us = group.added_us + int(settle_s * 1e6)
            if now_us < end_us:
                text = f"no new member for {settle_s:g} s"
                return Waits(group=group, again_us=end_us, waits_for=text)
        return None

    def _files(self, group: DueGroup, named: Named, now_us: int) -> Waits | None:
        """Return what the group waits for, if for a file or for members that one names."""
        again_us = now_us + int(_FILES_S * 1e6)
        template = self._group.complete_when
        path = None if template is None else template.replace("{key}", group.key)
        if path is not None and not exists(path):
            text = f"`{path}`, which is not there"
            return Waits(group=group, again_us=again_us, waits_for=text)
        if isinstance(named, NotReadable):
            if named.again_s < _FILES_S:
                self.settles_in_s = max(self.settles_in_s, named.again_s)
            if named.is_wrong:
                return self._wrong(group, str(named), again_us)
            soon_us = now_us + int(named.again_s * 1e6)
            return Waits(group=group, again_us=min(again_us, soon_us), waits_for=str(named))
        if named is not None and named.strangers_n:
            text = (
                f"{named.strangers_n:,} of its members are not in `{named.path}`: {named.example}"
            )
            return self._wrong(group, text, again_us)
        if named is not None and named.missing_n:
            text = f"{named.missing_n:,} that `{named.path}` names and that are not there: {named.example}"
            return Waits(group=group, again_us=again_us, waits_for=text)
        return None

    def _named(self, group: DueGroup) -> Named:
        """Return how the members compare with what the file names; None without such a file."""
        if self._group.members is None:
            return None
        path = self._group.members.replace("{key}", group.key)
        try:
            names = read_names(path, settle_s=_SETTLE_S)
        except NotReadable as error:
            return error
        return compare(self._store, group.id, names, path=path)
