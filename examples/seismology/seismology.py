"""The steps of the seismology pipeline. Each function does one step for one recording.

A function gets the task: `task.item` is the recording, `task.inputs["read"]["record"]` a file that an
earlier step left, `task.outputs["record"]` the file to write. It returns values worth keeping, or
raises an exception, whose message becomes the cause of the failure.
"""

import csv
from pathlib import Path

import numpy as np
import obspy
from obspy.signal.trigger import recursive_sta_lta, trigger_onset
from picture import draw


class UnusableError(Exception):
    """The recording was read, and there is nothing in it to work on."""


def read(task):
    """Read a recording of any format, refuse it if it holds no signal, and keep it as MiniSEED."""
    path = Path(task.item)
    try:
        stream = obspy.read(str(path))
    except TypeError as error:
        if "Unknown format" not in str(error):
            raise
        size = "an empty file" if path.stat().st_size == 0 else "no format that ObsPy knows"
        raise UnusableError(f"this is {size}") from None

    form = stream[0].stats["_format"]
    stream = check_samples(stream)
    trace = main_trace(stream)
    gaps = stream.get_gaps()
    stream.write(str(task.outputs["record"]), format="MSEED")
    return {
        "format": form,
        "channel": trace.id,
        "channels": len({trace.id for trace in stream}),
        "start": str(trace.stats.starttime),
        "sampling_rate_hz": trace.stats.sampling_rate,
        "samples": trace.stats.npts,
        "duration_s": round(trace.stats.npts * trace.stats.delta, 3),
        "gaps": sum(1 for gap in gaps if gap[6] > 0),
        "overlaps": sum(1 for gap in gaps if gap[6] < 0),
        "clipped_percent": clipped_percent(trace.data),
    }


def check_samples(stream):
    """Return the traces that hold a signal, in a form that MiniSEED takes; UnusableError if none."""
    reasons = []
    kept = obspy.Stream()
    for trace in stream:
        data = np.ma.getdata(trace.data)
        if data.size == 0:
            reasons.append("no samples")
        elif data.dtype.kind not in "iuf":
            reasons.append("text in place of samples")
        elif data.size == 1:
            reasons.append("a single sample")
        elif not trace.stats.sampling_rate > 0:
            reasons.append("no sampling rate")
        elif not np.isfinite(data).all():
            reasons.append("samples that are not numbers")
        elif np.abs(data.astype("f8")).max() > 1e20:
            reasons.append("samples beyond any unit: perhaps their byte order is not as declared")
        elif data.min() == data.max():
            reasons.append("a dead channel: all samples are equal")
        else:
            kept.append(plain(trace, data))
    if not kept:
        raise UnusableError("the recording has " + max(set(reasons), key=reasons.count))
    return kept


def plain(trace, data):
    """Return the trace without what belongs to its former format, codes cut to MiniSEED's length."""
    header = {
        "network": trace.stats.network[:2],
        "station": trace.stats.station[:5],
        "location": trace.stats.location[:2],
        "channel": trace.stats.channel[:3],
        "starttime": trace.stats.starttime,
        "sampling_rate": trace.stats.sampling_rate,
    }
    fits = data.dtype.kind in "iu" and abs(data.astype("f8")).max() < 2**31
    if fits:
        data = data.astype("=i4")
    elif data.dtype.kind in "iu" or data.dtype.itemsize > 4:
        data = data.astype("=f8")
    else:
        data = data.astype("=f4")
    return obspy.Trace(np.ascontiguousarray(data), header)


def main_trace(stream):
    """Return the longest unbroken stretch, of a vertical channel where there is one."""
    return max(stream, key=lambda trace: (trace.id.endswith("Z"), trace.stats.npts))


def clipped_percent(data):
    """Return how much of the record is flat at its highest or lowest value."""
    at_limit = (data == data.max()) | (data == data.min())
    flat = at_limit[1:] & at_limit[:-1]
    return round(100 * float(flat.mean()), 2) if flat.size else 0.0


def trigger(task):
    """Filter the main trace and find where its short-term average rises over the long-term one."""
    trace = main_trace(obspy.read(str(task.inputs["read"]["record"])))
    rate = trace.stats.sampling_rate
    duration = trace.stats.npts / rate
    # The shorter a recording, the quicker what it is about: an earthquake, or a hammer's blow.
    high = min(0.4 * rate, max(20.0, 400.0 / duration))
    low = high / 20
    trace.detrend("linear").taper(0.05, max_length=2 / low)
    trace.filter("bandpass", freqmin=low, freqmax=high, corners=3)

    short = max(2, round(rate / low))
    long = max(2 * short, min(10 * short, trace.stats.npts // 5))
    ratio = recursive_sta_lta(np.ascontiguousarray(trace.data, dtype="f8"), short, long)
    events = [
        (onset, end, float(ratio[onset : end + 1].max()))
        for onset, end in trigger_onset(ratio, 3.0, 1.0)
    ]
    with Path(task.outputs["triggers"]).open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["begin", "seconds_from_start", "seconds", "ratio"])
        for onset, end, peak in events:
            begin = trace.stats.starttime + onset / rate
            table.writerow(
                [begin, f"{onset / rate:.3f}", f"{(end - onset) / rate:.3f}", f"{peak:.2f}"]
            )
    with Path(task.outputs["filtered"]).open("wb") as file:
        np.savez(file, data=trace.data.astype("f4"), ratio=ratio.astype("f4"), band=(low, high))
    return {"triggers": len(events), "highest_ratio": round(float(ratio.max()), 2)}


def plot(task):
    """Draw the recording, and what was found in it if it was long enough to look for something."""
    trace = main_trace(obspy.read(str(task.inputs["read"]["record"])))
    found = task.inputs.get("trigger") or {}
    filtered = events = None
    if found.get("filtered"):
        filtered = np.load(found["filtered"])
        with Path(found["triggers"]).open(newline="") as file:
            events = [
                (float(row["seconds_from_start"]), float(row["seconds"]))
                for row in csv.DictReader(file)
            ]
    draw(task.outputs["picture"], task.key, trace, filtered, events)
