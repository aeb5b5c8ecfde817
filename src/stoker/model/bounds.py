"""How large the numbers may be that people give, at every door: file, command line and Python.

Each bound is far beyond any sensible use, and far below what a column, a clock or a loop can take.
"""

from dataclasses import dataclass

from stoker.errors import UserError


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest value allowed; only whole numbers if `is_whole`."""

    least: float
    most: float
    is_whole: bool = True

    def holds(self, value: object) -> bool:
        """Whether `value` is a number within the bounds; NaN never is."""
        kinds = (int,) if self.is_whole else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        return is_number and self.least <= value <= self.most  # type: ignore[operator]  # it is a number then

    def check(self, name: str, value: object) -> None:
        """Raise UserError unless `value`, the one of `name`, is a number within the bounds."""
        if not self.holds(value):
            kind = "whole number" if self.is_whole else "number"
            raise UserError(
                f"`{name}` is {str(value)[:40]} and must be a {kind} between {self.least:,} "
                f"and {self.most:,}"
            )


PRIORITY = Bounds(-1_000_000, 1_000_000)  # times 2^40 in an order key of 64 bits
CPUS = Bounds(1, 10_000)
RETRIES = Bounds(0, 10_000)
OPEN_FILES = Bounds(16, 1_048_576)
POOL_SLOTS = Bounds(0, 10_000)  # each is a row of the store
PER_MINUTE = Bounds(1, 10_000)  # as is each of these
PAGE_ROWS = Bounds(1, 10_000)  # which are in memory at once
OPEN_ITEMS = Bounds(1, 1_000_000_000)
SIZE_BYTES = Bounds(1, 1 << 60)
TIME_S = Bounds(0, 100 * 365 * 86_400, is_whole=False)
WAIT_S = Bounds(0, 600, is_whole=False)  # which a client's request may take: proxies give up
TEXT_LENGTH = Bounds(1, 10_000_000)
LIST_LENGTH = Bounds(0, 1_000_000)
WEIGHT = Bounds(0.000_001, 1_000_000, is_whole=False)
INTEGER = Bounds(-(1 << 63), (1 << 63) - 1)  # as in bash, CEL and most languages
GPUS = Bounds(0, 1_000)
PILOTS = Bounds(1, 10_000)  # of one batch system at a time
PILOT_S = Bounds(300, 366 * 86_400, is_whole=False)
