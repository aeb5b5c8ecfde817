"""What is left to do by name, for a plan that goes by the file and not by the store's version."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from stoker.model.rank import priority_of
from stoker.model.sharing import Sharing
from stoker.model.simulate import Fleet
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.forecasts import estimates, open_work
from stoker.store.forecasts.freshness import catch_up
from stoker.store.sharing import from_file, newest_sharing

if TYPE_CHECKING:
    from stoker.model.estimate import Fit
    from stoker.model.pool import Pool
    from stoker.store.unit import Store

_MOST = 10_000_000
_I, _P = tables.item, tables.pipeline


class Left(NamedTuple):
    """What is left of an item: its open steps, with how long those that run have run."""

    key: str
    size: int | None
    priority: int
    by_user: str
    steps: Mapping[str, float | None]


class Waiting:
    """What a store knows that a plan needs; nothing where there is no store yet.

    `fits` by pipeline and step; `fleet` and `hosts`: the workers alive.
    """

    def __init__(self, store: "Store | None") -> None:
        self._store = store
        self.fits: dict[tuple[str, str], Fit] = {}
        self.fleet = Fleet(())
        self.hosts: list[str] = []
        self._sharing = Sharing()
        if store is None:
            return
        catch_up(store, fold_s=60.0, learn_s=10.0)
        with store.reading() as unit:
            steps = catalog(unit).steps
            for step, found in estimates.fits(unit).items():
                if step in steps:
                    self.fits[steps[step].pipeline, steps[step].name] = found
            self.hosts, self.fleet = open_work.fleet(unit, estimates.book(unit))
            self._sharing = newest_sharing(unit)

    def pools(self, declared: "Sequence[Pool]") -> "list[Pool]":
        """Return the pools as they will be once the file's are taken over."""
        return list(from_file(self._sharing, declared).pools().values())

    def of_pipeline(self, pipeline: str) -> Iterator[Left]:
        """Yield what is left of each of the pipeline's items."""
        if self._store is None:
            return
        with self._store.reading() as unit:
            known = catalog(unit)
            found = open_work.open_tasks(unit, known, limit=_MOST, pipeline=pipeline) or []
            keys: dict[int, str] = {}
            items = sorted({one.item_id for one in found})
            for at in range(0, len(items), 500):
                query = select(_I.c.id, _I.c.key).where(_I.c.id.in_(items[at : at + 500]))
                keys |= {row.id: row.key for row in unit.execute(query)}
        by_item: dict[int, list[open_work.OpenTask]] = {}
        for one in found:
            by_item.setdefault(one.item_id, []).append(one)
        for item_id, tasks in by_item.items():
            left = {known.steps[t.step_id].name: t.task.elapsed_s for t in tasks}
            first = tasks[0].task
            priority = priority_of(round(first.order))
            yield Left(keys[item_id], first.size, priority, tasks[0].by_user, left)

    def known_keys(self, pipeline: str, keys: Sequence[str]) -> set[str]:
        """Return which of these keys the store has."""
        if self._store is None or not keys:
            return set()
        query = select(_I.c.key).join(_P, _P.c.id == _I.c.pipeline_id)
        query = query.where(_P.c.name == pipeline, _I.c.key.in_(keys))
        with self._store.reading() as unit:
            return set(unit.execute(query).scalars())
