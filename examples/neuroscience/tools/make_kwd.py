"""Read a raw block, leave out bad channels, remove the slow part, and write the rest as one array."""

import argparse
import sys
from pathlib import Path

import numpy as np

CHANNELS = 8


def main() -> None:
    """The array is written, or the process exits with a message."""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw")
    parser.add_argument("out")
    parser.add_argument("--omit", default="", help="channels to leave out, counted from 1")
    asked = parser.parse_args()
    content = Path(asked.raw).read_bytes()
    if len(content) % (2 * CHANNELS):
        sys.exit(f"the recording ends early: {len(content)} bytes are not whole samples")
    samples = np.frombuffer(content, dtype="<i2")
    omit = {int(word) - 1 for word in asked.omit.split(",") if word}
    kept = [channel for channel in range(CHANNELS) if channel not in omit]
    traces = samples.reshape(-1, CHANNELS)[:, kept].astype(np.float32)
    traces -= np.median(traces, axis=0)
    with Path(asked.out).open("wb") as file:
        np.save(file, traces)


if __name__ == "__main__":
    main()
