"""Copy one block again from the rig: here, make its whole recording."""

import sys
from pathlib import Path

import numpy as np
from record import blocks, recording

block, seconds = sys.argv[1], float(sys.argv[2])
samples = recording(np.random.default_rng(blocks().index(block) + 1), seconds)
path = Path(__file__).parent.parent / "raw" / f"{block}.dat"
path.write_bytes(samples.astype("<i2").tobytes())
print(f"copied {path.name} again")
