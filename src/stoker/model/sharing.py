"""The settings of a store that hold for all its workers: pools, shares, secrets and retention."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import Shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the store's settings said at a claim of everything that an attempt gets to see.

    `secrets` are the names of variables that only steps which list them get; `devices` are the pools
    whose slots are devices; `site` is what the store's own site is called.
    """

    secrets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """The pools as the file last said, what a person has set since, the shares, and the terms.

    `by_hand` has the slots of those pools whose number was set by `stoker pool set`; it holds until
    the file says something else of the pool. `secrets` are names of variables; `set_by` is the host
    and the file that set them and the retention; `site` is the store's own.
    """

    declared: Mapping[str, Pool] = field(default_factory=dict)
    by_hand: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shares: Shares = field(default_factory=Shares)
    secrets: tuple[str, ...] = ()
    retention: Retention = field(default_factory=Retention)
    set_by: str = ""
    site: str = ""

    @property
    def terms(self) -> Terms:
        """Return what every attempt depends on that is claimed now."""
        devices = tuple(name for name, pool in sorted(self.declared.items()) if pool.kind == "gpu")
        return Terms(secrets=self.secrets, devices=devices, site=self.site)

    def pool(self, name: str) -> Pool | None:
        """Return the pool as it is to be now; None if there is none of that name."""
        found = self.declared.get(name)
        if found is not None and name in self.by_hand:
            return replace(found, slots=self.by_hand[name])
        return found

    def pools(self) -> dict[str, Pool]:
        """Return all pools as they are to be now."""
        return {name: pool for name in sorted(self.declared) if (pool := self.pool(name))}

    def closed(self, now_us: int) -> dict[str, int]:
        """Return the pools outside their hours, and when each opens."""
        return {
            name: pool.hours.opens_us(now_us)
            for name, pool in self.declared.items()
            if pool.hours is not None and not pool.hours.is_open(now_us)
        }

    @property
    def has_rates(self) -> bool:
        """Whether any pool lets only so many attempts begin in a minute."""
        return any(pool.per_minute is not None for pool in self.declared.values())
