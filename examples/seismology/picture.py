"""What a recording looks like: the record, its filtered form, and where something begins."""

import math

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # draws without a screen; chosen before pyplot is imported
from matplotlib import pyplot as plt

INK, QUIET, ACCENT = "#1f2933", "#7b8794", "#c0392b"
STYLE = {
    "font.size": 8.5,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
}
UNITS = [
    (2 * 86400, "days", 86400),
    (3 * 3600, "hours", 3600),
    (600, "minutes", 60),
    (2, "seconds", 1),
]
COLUMNS = 1600  # more samples than this are drawn as their envelope


def draw(path, name, trace, filtered, events):
    """A picture of the recording is at `path`. `filtered` is None where nothing was looked for."""
    duration = trace.stats.npts * trace.stats.delta
    unit, scale = next(
        ((unit, scale) for least, unit, scale in UNITS if duration >= least), ("milliseconds", 1e-3)
    )
    panels = [("record", trace.data, INK)]
    if filtered is not None:
        low, high = filtered["band"]
        panels.append((f"{low:.3g} to {high:.3g} Hz", filtered["data"], "#2c5f8a"))
        panels.append(("STA / LTA", filtered["ratio"], "#4a7c59"))

    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(panels),
            1,
            sharex=True,
            squeeze=False,
            figsize=(9, 1.1 + 1.5 * len(panels)),
            dpi=110,
        )
        for axis, (label, data, colour) in zip(axes[:, 0], panels, strict=True):
            times, values = envelope(data, duration / scale)
            values, power = in_thousands(values)
            axis.plot(times, values, color=colour, linewidth=0.7)
            axis.set_ylabel(label + power)
            axis.margins(x=0)
            axis.locator_params(axis="y", nbins=4)
            for begin, length in events or []:
                axis.axvspan(
                    begin / scale, (begin + length) / scale, color=ACCENT, alpha=0.10, lw=0
                )
                axis.axvline(begin / scale, color=ACCENT, linewidth=0.8)
        if filtered is not None:
            axes[-1, 0].axhline(3.0, color=QUIET, linewidth=0.6, linestyle=(0, (4, 3)))
        if events is None:
            found = "too short to look for events"
        else:
            found = f"{len(events)} event" + "s" * (len(events) != 1)
        channel = trace.id.strip(".") or "no station code"
        axes[0, 0].set_title(name, fontsize=10, fontweight="bold", pad=17)
        axes[0, 0].text(
            0,
            1.05,
            f"{channel}    {trace.stats.starttime.strftime('%Y-%m-%d %H:%M:%S')}    "
            f"{trace.stats.sampling_rate:g} Hz    {trace.stats.npts:,} samples    {found}",
            transform=axes[0, 0].transAxes,
            color=QUIET,
        )
        axes[-1, 0].set_xlabel(f"{unit} from the start")
        figure.align_ylabels()
        figure.tight_layout(h_pad=0.6)
        figure.savefig(path, format="png")
        plt.close(figure)


def envelope(data, length):
    """Return times from 0 to `length` and values, thinned to lowest and highest of each column."""
    data = np.asarray(data)
    times = np.arange(data.size) * (length / data.size)
    if data.size <= 2 * COLUMNS:
        return times, data
    rows = -(-data.size // COLUMNS)
    starts = np.arange(0, data.size, rows)
    values = np.column_stack([np.minimum.reduceat(data, starts), np.maximum.reduceat(data, starts)])
    return np.repeat(times[starts], 2), values.ravel()


def in_thousands(data):
    """Return `data` divided by a power of a thousand, and that power as text."""
    highest = float(np.abs(data).max())
    power = 3 * math.floor(math.log10(highest) / 3) if highest else 0
    if power in (0, -3):
        return data, ""
    return data / 10.0**power, f" / $10^{{{power}}}$"
