"""Seconds as a function of a size, in straight lines."""

from bisect import bisect_left
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds by size: straight lines between knots, and one after the last; never below nought.

    `beyond` is the slope after the last knot, in seconds a byte. Where it is not given, the last
    line goes on, if it rises, and is level otherwise.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    without_size: float
    beyond: float | None = None

    def at(self, size: int | None) -> float:
        """Return the seconds for an item of that size; None: of unknown size."""
        if size is None:
            return self.without_size
        start, slope = self.pieces()[min(bisect_left(self.sizes, size, 1), len(self.sizes)) - 1]
        return max(start + slope * max(size, self.sizes[0]), 0.0)

    def pieces(self) -> list[tuple[float, float]]:
        """Return the lines that begin at each knot, as their value at size nought and their slope."""
        found = []
        for low, high, one, other in zip(
            self.sizes, self.sizes[1:], self.seconds, self.seconds[1:], strict=False
        ):
            slope = (other - one) / (high - low)
            found.append((one - slope * low, slope))
        before = found[-1][1] if found else 0.0
        slope = max(before, 0.0) if self.beyond is None else self.beyond
        return [*found, (self.seconds[-1] - slope * self.sizes[-1], slope)]

    def times(self, factor: float) -> "Curve":
        """Return the curve with all seconds multiplied."""
        return replace(
            self,
            seconds=tuple(factor * s for s in self.seconds),
            without_size=factor * self.without_size,
            beyond=None if self.beyond is None else factor * self.beyond,
        )

    def plus(self, seconds: float) -> "Curve":
        """Return the curve with so much added everywhere."""
        return replace(
            self,
            seconds=tuple(s + seconds for s in self.seconds),
            without_size=self.without_size + seconds,
        )


# What is believed of a step of which nothing is known: a second, and one for each 20 MB.
UNKNOWN = Curve((0, 20_000_000), (1.0, 2.0), 1.0)
