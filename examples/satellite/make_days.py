"""Make a year of daily granule lists, in the form of those of the AIRS sounder on the satellite Aqua.

One file for each day: a line for each of its 240 granules of six minutes, with the name of the granule's
file, when it begins, and what its calibration saw: the temperatures of the scanner and of the spectrometer,
and, for six of the detector modules, counts of the view to space and their scatter. The
numbers are made, always the same ones; the interruption of late 2003 is where the instrument had one.

    python make_days.py                 writes granules/2003/2003-07-01.txt and so on, and limits.csv
    python make_days.py --redeliver     writes the lists that had come incomplete once more, whole,
                                        and adds the limits from 18 November 2003 on

`--every 10` takes every tenth day.
"""

import argparse
import math
import random
from datetime import date, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
FIRST = date(2003, 7, 1)
DAYS = 365
GRANULES = 240
MODULES = ("M01a", "M03", "M04b", "M07", "M10", "M12")
COUNTS = {"M01a": 2210, "M03": 1875, "M04b": 1502, "M07": 1730, "M10": 1120, "M12": 905}
OUTAGE = (date(2003, 10, 29), date(2003, 11, 18))  # the instrument was off, and warmer afterwards
LIMITS = "limits.csv"
HEADER = "from,until,scanner_low,scanner_high,spectrometer_low,spectrometer_high,scatter_most\n"
BEFORE = "2002-08-31,2003-10-28,258.0,265.0,154.5,156.5,6.0\n"
AFTER = "2003-11-18,2010-12-31,258.0,267.0,155.5,157.5,6.5\n"


def is_cut(day: int) -> bool:
    """Whether the list of this day came incomplete."""
    return day % 61 == 17


def lines_of(when: date, rest: random.Random) -> list[str]:
    """Return the lines of one day, one for each granule."""
    is_later = when >= OUTAGE[1]
    season = math.sin(2 * math.pi * when.timetuple().tm_yday / 365.25)
    lines = []
    for granule in range(1, GRANULES + 1):
        begins = datetime.combine(when, datetime.min.time()) + timedelta(minutes=6 * (granule - 1))
        orbit = math.sin(2 * math.pi * granule / 16.4)
        scanner = 261.2 + 1.1 * season + 0.4 * orbit + 1.2 * is_later + rest.gauss(0, 0.05)
        spectrometer = 155.4 + 0.15 * season + 1.1 * is_later + rest.gauss(0, 0.02)
        views = []
        for module in MODULES:
            is_moon = rest.random() < 0.002  # the moon in the view to space
            count = COUNTS[module] * (1 + 0.002 * orbit) + 40 * is_moon + rest.gauss(0, 1)
            views += [f"{count:.2f}", f"{abs(rest.gauss(2.5, 0.5)) + 12 * is_moon:.3f}"]
        name = f"AIRS.{when:%Y.%m.%d}.{granule:03}.L1B.AIRS_Rad.v5.0.0.0.hdf"
        lines.append(
            " ".join(
                [
                    name,
                    f"{begins:%Y-%m-%dT%H:%M:%SZ}",
                    f"{scanner:.3f}",
                    f"{spectrometer:.3f}",
                    *views,
                ]
            )
        )
    return lines


def write_day(number: int, *, is_whole: bool) -> None:
    """Write the list of one day; one that is not whole ends in the middle of a line."""
    when = FIRST + timedelta(days=number)
    path = HERE / "granules" / str(when.year) / f"{when}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = lines_of(when, random.Random(number))  # noqa: S311 - for an example
    text = f"# granules of {when}, {' '.join(MODULES)}\n" + "\n".join(lines) + "\n"
    hidden = path.with_name(f".{path.name}")
    hidden.write_text(text if is_whole else text[: len(text) * 2 // 3])
    hidden.rename(path)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--redeliver", action="store_true")
    options = parser.parse_args()
    limits = HERE / LIMITS
    if options.redeliver:
        cut = [number for number in range(0, DAYS, options.every) if is_cut(number)]
        for number in cut:
            write_day(number, is_whole=True)
        limits.write_text(HEADER + BEFORE + AFTER)
        print(f"{len(cut)} lists delivered again; limits from {OUTAGE[1]} on added to {LIMITS}")
        return
    count = 0
    for number in range(0, DAYS, options.every):
        when = FIRST + timedelta(days=number)
        if not OUTAGE[0] <= when < OUTAGE[1]:
            write_day(number, is_whole=not is_cut(number))
            count += 1
    limits.write_text(HEADER + BEFORE)
    print(f"{count} days in {HERE / 'granules'}")


if __name__ == "__main__":
    main()
