"""The slots of pools, and the turns of those with a rate, as one claim sees and takes them."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter

from sqlalchemy import and_, case, func, or_, select, update

from stoker.model.sharing import Sharing
from stoker.store import tables
from stoker.store.unit import Prepared, Unit, param, param_list

MINUTE_US = 60_000_000

_S, _R = tables.slot, tables.turn
_is_held = _S.c.attempt.is_not(None)
_COUNTED = Prepared(  # what is held beyond the slots that there are to be takes from the free ones
    select(
        _S.c.pool,
        func.sum(case((_S.c.is_retired, 0), else_=1)),
        func.sum(
            case(
                (and_(_S.c.is_retired, _is_held), -1), (or_(_S.c.is_retired, _is_held), 0), else_=1
            )
        ),
    )
    .where(or_(_S.c.host == "", _S.c.host == param("host")))
    .group_by(_S.c.pool)
)
_FREE = Prepared(
    select(_S.c.host, _S.c.name)
    .where(
        _S.c.pool == param("pool"),
        or_(_S.c.host == "", _S.c.host == param("host")),
        _S.c.attempt.is_(None),
        ~_S.c.is_retired,
    )
    .order_by(_S.c.host, _S.c.name)
    .limit(param("limit"))
    .with_for_update(skip_locked=True)
)
_HOLD = Prepared(
    update(_S)
    .where(
        _S.c.pool == param("pool_"), _S.c.host == param("host_"), _S.c.name == param("name_"),
        _S.c.attempt.is_(None),
    )
    .values(attempt=param("attempt"))
)  # fmt: skip
_HELD = Prepared(
    select(_S.c.pool, _S.c.host, _S.c.name, _S.c.attempt)
    .where(_S.c.attempt.in_(param_list("attempts")))
    .order_by(_S.c.pool, _S.c.host, _S.c.name)
)
_GIVE_BACK = Prepared(
    update(_S)
    .where(
        _S.c.pool == param("pool_"), _S.c.host == param("host_"), _S.c.name == param("name_"),
        _S.c.attempt == param("attempt_"),
    )
    .values(attempt=None)
)  # fmt: skip
_TURNS = Prepared(
    select(_R.c.pool, func.count())
    .where(or_(_R.c.host == "", _R.c.host == param("host")), _R.c.free_us <= param("now_us"))
    .group_by(_R.c.pool)
)
_FREE_TURN = Prepared(
    select(_R.c.host, _R.c.number)
    .where(
        _R.c.pool == param("pool"),
        or_(_R.c.host == "", _R.c.host == param("host")),
        _R.c.free_us <= param("now_us"),
    )
    .order_by(_R.c.free_us, _R.c.number)
    .limit(param("limit"))
    .with_for_update(skip_locked=True)
)
_TAKE_TURN = Prepared(
    update(_R)
    .where(
        _R.c.pool == param("pool_"), _R.c.host == param("host_"), _R.c.number == param("number_")
    )
    .values(free_us=param("free_us"))
)

Needs = Mapping[str, int]  # how many slots of which pool


def free(unit: Unit, attempts: Iterable[bytes]) -> None:
    """The slots that these attempts hold are free.

    They are looked for without a lock, as nobody else takes them from an attempt that has an end to
    tell; most hold none. What is locked then is those rows alone, in the order in which claims do.
    """
    rows = unit.run(_HELD, attempts=sorted(set(attempts))).fetchall()
    unit.run_many(
        _GIVE_BACK,
        [
            {"pool_": pool, "host_": host, "name_": name, "attempt_": attempt, "attempt": None}
            for pool, host, name, attempt in rows
        ],
    )


class Slots:
    """What one claim of a worker on `host` may still give out; kept slots are left to others."""

    def __init__(self, unit: Unit, host: str, sharing: Sharing) -> None:
        self._unit = unit
        self._host = host
        self._total: dict[str, int] = {}
        self._free: dict[str, int] = {}
        for pool, total, free in unit.run(_COUNTED, host=host).fetchall():
            self._total[pool], self._free[pool] = int(total), int(free)
        self._rated = {n for n, pool in sharing.declared.items() if pool.per_minute is not None}
        self._per_host = {name for name, pool in sharing.declared.items() if pool.is_per_host}
        self._turns: dict[str, int] = {}
        if self._rated:
            rows = unit.run(_TURNS, host=host, now_us=unit.now_us).fetchall()
            self._turns = {pool: int(n) for pool, n in rows}

    def most(self, needs: Needs) -> int:
        """Return how many tasks with these needs could begin now."""
        turns = [self._turns.get(pool, 0) for pool in self._rated & needs.keys()]
        return min([*turns, *(self._free.get(pool, 0) // n for pool, n in needs.items())])

    def waits_for_turn(self, needs: Needs) -> bool:
        """Whether as many have begun within the last minute as may, so that only time helps."""
        return any(not self._turns.get(pool) for pool in self._rated & needs.keys())

    def is_short(self, needs: Needs) -> bool:
        """Whether a pool has too few free slots, kept ones left out."""
        return any(self._free.get(pool, 0) < n for pool, n in needs.items())

    def keep(self, needs: Needs, *, is_here: bool) -> None:
        """Leave what one such task needs to it, as far as the pools are large enough for it at all.

        Of one that cannot run on this host (`is_here` false) only what all hosts share.
        """
        kept = {pool: n for pool, n in needs.items() if is_here or pool not in self._per_host}
        if all(self._total.get(pool, 0) >= n for pool, n in kept.items()):
            for pool, n in kept.items():
                self._free[pool] = self._free.get(pool, 0) - n

    def take(self, needs: Needs, attempt: bytes) -> dict[str, tuple[str, ...]] | None:
        """Give the attempt its slots of every pool; None, and nothing is written, if one is short.

        Rivals may hold locks on some that count as free. Locks come in the order of names.
        """
        slots: list[tuple[str, str, str]] = []
        turns: list[tuple[str, str, int]] = []
        for pool, n in sorted(needs.items()):
            found = self._unit.run(_FREE, pool=pool, host=self._host, limit=n).fetchall()
            if len(found) < n:
                return None
            slots += [(pool, host, name) for host, name in found]
        now_us = self._unit.now_us
        for pool in sorted(self._rated & needs.keys()):
            row = self._unit.run(
                _FREE_TURN, pool=pool, host=self._host, now_us=now_us, limit=1
            ).fetchone()
            if row is None:
                return None
            turns.append((pool, row[0], row[1]))
            self._turns[pool] -= 1
        self._unit.run_many(
            _HOLD,
            [
                {"pool_": pool, "host_": host, "name_": name, "attempt": attempt}
                for pool, host, name in slots
            ],
        )
        self._unit.run_many(
            _TAKE_TURN,
            [
                {"pool_": pool, "host_": host, "number_": number, "free_us": now_us + MINUTE_US}
                for pool, host, number in turns
            ],
        )
        for pool, n in needs.items():
            self._free[pool] -= n
        return {
            pool: tuple(name for _, _, name in several)
            for pool, several in groupby(slots, key=itemgetter(0))
        }
