"""Make short recordings as an acquisition system would write them: eight channels of 16-bit samples.

Each block has a few units (cells) with a wave form of their own, on channels near to each other, in
noise. The same blocks come out each time. One recording ends early, as a full disk leaves it.
"""

import sys
from pathlib import Path

import numpy as np

CHANNELS, RATE_HZ = 8, 20_000
CUT = "Pen06_Rgt"


def main(seconds: float) -> None:
    """The recordings of all blocks in the table are in `raw/`."""
    folder = Path(__file__).parent.parent / "raw"
    folder.mkdir(exist_ok=True)
    for number, block in enumerate(blocks(), start=1):
        samples = recording(np.random.default_rng(number), seconds)
        written = samples.astype("<i2").tobytes()
        (folder / f"{block}.dat").write_bytes(written[:-3001] if block == CUT else written)
    print(f"{number} recordings of {seconds:g} s in {folder}")


def blocks() -> list[str]:
    """Return the names in the first column of the table."""
    lines = (Path(__file__).parent.parent / "blocks.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def recording(random: np.random.Generator, seconds: float) -> np.ndarray:
    """Return samples (int16 as float, shape samples by channels) of one block."""
    n = int(seconds * RATE_HZ)
    samples = random.normal(0, 12, (n, CHANNELS))
    at = np.arange(40)
    for unit in range(random.integers(2, 5)):
        shape = -np.exp(-((at - 10) ** 2) / (8 + 4 * unit)) + 0.4 * np.exp(-((at - 22) ** 2) / 60)
        spread = np.exp(-((np.arange(CHANNELS) - random.integers(CHANNELS)) ** 2) / 2)
        for start in random.integers(0, n - 40, int(seconds * random.integers(4, 20))):
            samples[start : start + 40] += np.outer(shape, spread) * (180 + 40 * unit)
    return samples.round().clip(-32_768, 32_767)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
