"""Seconds as a function of a size, in straight lines."""

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds by size: straight lines between knots, the last one going on; never below nought."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    without_size: float

    def at(self, size: int | None) -> float:
        """Return the seconds for an item of that size; None: of unknown size."""
        if size is None:
            return self.without_size
        start, slope = self.pieces()[min(bisect_left(self.sizes, size, 1), len(self.sizes)) - 1]
        return max(start + slope * max(size, self.sizes[0]), 0.0)

    def pieces(self) -> list[tuple[float, float]]:
        """Return the lines that begin at each knot, as their value at size nought and their slope.

        The last goes on as the one before, but does not fall.
        """
        found = []
        for low, high, one, other in zip(
            self.sizes, self.sizes[1:], self.seconds, self.seconds[1:], strict=False
        ):
            slope = (other - one) / (high - low)
            found.append((one - slope * low, slope))
        rising = found[-1] if found and found[-1][1] > 0 else (self.seconds[-1], 0.0)
        return [*found, rising]

    def times(self, factor: float) -> "Curve":
        """Return the curve with all seconds multiplied."""
        return Curve(
            self.sizes, tuple(factor * s for s in self.seconds), factor * self.without_size
        )

    def plus(self, seconds: float) -> "Curve":
        """Return the curve with so much added everywhere."""
        return Curve(
            self.sizes, tuple(s + seconds for s in self.seconds), self.without_size + seconds
        )


# What is believed of a step of which nothing is known: a second, and one for each 20 MB.
UNKNOWN = Curve((0, 20_000_000), (1.0, 2.0), 1.0)
