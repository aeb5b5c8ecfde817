"""Find spikes in an array of traces, separate units, write a table, and print counts as values."""

import json
import sys
from pathlib import Path

import numpy as np

RATE_HZ = 20_000


def main(array: str, table: str) -> None:
    """The table is written, and the counts are printed as JSON."""
    traces = np.load(array)
    noise = np.median(np.abs(traces), axis=0) / 0.6745  # Quiroga et al., 2004
    lowest = (traces / noise).min(axis=1)
    is_lowest = (lowest[1:-1] <= lowest[:-2]) & (lowest[1:-1] < lowest[2:])
    crossed = np.flatnonzero((lowest[1:-1] < -6) & is_lowest) + 1
    times = crossed[np.insert(np.diff(crossed) > 20, 0, True)]
    times = times[(times > 10) & (times < len(traces) - 30)]
    units = _units(traces, times)
    lines = [
        f"{unit}\t{time / RATE_HZ:.4f}\t{-lowest[time]:.1f}\n"
        for unit, time in zip(units, times, strict=True)
    ]
    Path(table).write_text("unit\tseconds\tdepth\n" + "".join(lines), encoding="utf-8")
    print(json.dumps({"spikes": len(times), "units": len(set(units))}))


def _units(traces: np.ndarray, times: np.ndarray) -> list[int]:
    """Return the unit of each spike: the channel on which it is deepest names it."""
    deepest = traces[times].argmin(axis=1)
    found = sorted(set(deepest.tolist()))
    names = {channel: number for number, channel in enumerate(found, start=1)}
    return [names[channel] for channel in deepest.tolist()]


if __name__ == "__main__":
    main(*sys.argv[1:])
