"""The outputs of members that go into volumes: those of the attempts that counted when one was placed.

A member that is done again later leaves other outputs at the same paths. What a volume lists of it stays
what it was, so that what was packed can be compared with what is there now.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, select

from stoker.model.states import AttemptState
from stoker.model.volume import PackedFile
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.groups.followed import Followed
from stoker.store.holdings.places import digest_at
from stoker.store.unit import Prepared, Unit, param_list

_T, _A, _O, _X, _F = (
    tables.task, tables.attempt, tables.output, tables.temporary, tables.folder_part,
)  # fmt: skip
_AT_ONCE = 2_000  # values in a statement
_ATTEMPTS = Prepared(
    select(_T.c.item_id, _T.c.step_id, _A.c.id)
    .select_from(_T.join(_A, _A.c.task_id == _T.c.id))
    .where(
        _T.c.item_id.in_(param_list("items")),
        _T.c.step_id.in_(param_list("steps")),
        _A.c.state == AttemptState.SUCCEEDED.value,
    )
)
_OUTPUTS = Prepared(
    select(_O.c.attempt, _O.c.name, _O.c.path, _O.c.size_bytes, _O.c.checksum, _X.c.removed_us)
    .select_from(
        _O.outerjoin(
            _X,
            and_(
                _X.c.attempt == _O.c.attempt, _X.c.name == _O.c.name, _X.c.position == _O.c.position
            ),
        )
    )
    .where(_O.c.attempt.in_(param_list("attempts")))
    .order_by(_O.c.attempt, _O.c.name, _O.c.position)
)


def packed_attempts(
    unit: Unit, followed: Followed, members: Mapping[int, str | None]
) -> dict[bytes, tuple[int, str]]:
    """Return the attempts whose outputs count, with item and step. `members`: item -> newest attempt."""
    newest: dict[tuple[int, int], bytes] = {}
    for item_id, step_id, attempt in unit.run(
        _ATTEMPTS, items=list(members), steps=list(followed.tried)
    ).fetchall():
        found = bytes(attempt)
        until = members[item_id]
        if until and found.hex() <= until and found > newest.get((item_id, step_id), b""):
            newest[item_id, step_id] = found
    names = catalog(unit).steps
    return {
        attempt: (item_id, names[step_id].name) for (item_id, step_id), attempt in newest.items()
    }


def packed_files(
    unit: Unit, followed: Followed, members: Mapping[int, str | None]
) -> dict[int, list[PackedFile]]:
    """Return what these members have to be packed, in the order of `pack`."""
    attempts = packed_attempts(unit, followed, members)
    if not attempts:
        return {}
    order = {tuple(one.split(".")[1:]): at for at, one in enumerate(followed.group.pack)}
    found: dict[int, list[PackedFile]] = {}
    listed = list(attempts)
    for at in range(0, len(listed), _AT_ONCE):
        for attempt, name, path, size, checksum, removed_us in unit.run(
            _OUTPUTS, attempts=listed[at : at + _AT_ONCE]
        ).fetchall():
            item_id, step = attempts[bytes(attempt)]
            if (step, name) in order:
                one = PackedFile(
                    step=step,
                    name=name,
                    path=os.fsdecode(bytes(path)),
                    size_bytes=size,
                    checksum=checksum,
                    removed=removed_us is not None,
                )
                found.setdefault(item_id, []).append(one)
    for several in found.values():
        several.sort(key=lambda one: order[one.step, one.name])
    return found


def parts_n(unit: Unit, files: Sequence[PackedFile]) -> dict[tuple[str, str], int]:
    """Return of those that are folders how many files, folders and links are in them."""
    by_digest = {digest_at(os.fsencode(one.path), 0): one.path for one in files if not one.removed}
    digests = sorted(by_digest)
    found: dict[tuple[str, str], int] = {}
    length: Any = func.sum(func.length(_F.c.digests))
    for at in range(0, len(digests), _AT_ONCE):
        query = select(_F.c.digest, _F.c.checksum, length.label("bytes"))
        query = query.where(_F.c.digest.in_(digests[at : at + _AT_ONCE]))
        for row in unit.execute(query.group_by(_F.c.digest, _F.c.checksum)):
            found[by_digest[bytes(row.digest)], row.checksum] = int(row.bytes or 0) // _DIGEST
    return found


_DIGEST = 8  # bytes for each part
