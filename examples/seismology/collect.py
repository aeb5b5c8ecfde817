"""Lay out the recordings that ObsPy ships for its own tests under `recordings/`, and list them.

A user has such a folder already; this makes one. Prints the paths, each ended by a NUL, ready for
`stoker push seismology --from - -0`. What is there already is left alone.

What counts as a recording is decided by what a file is, never by whether it can be read: in the
folders of the waveform formats everything but the files named below, damaged ones and all.
"""

import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path

import obspy

# Where ObsPy keeps recordings: its folder, and which of the names in it are recordings.
FOLDERS = {
    "io/ah": ["*"],
    "io/alsep": ["*"],
    "io/ascii": ["*"],
    "io/css": ["*.wfdisc"],
    "io/cybershake": ["*"],
    "io/dmx": ["*"],
    "io/gcf": ["*"],
    "io/gse2": ["*"],
    "io/kinemetrics": ["*"],
    "io/mseed": ["*"],
    "io/nied": ["*.knet"],
    "io/pdas": ["*"],
    "io/reftek": ["*"],
    "io/rg16": ["*.fcnt"],
    "io/sac": ["*"],
    "io/seg2": ["*"],
    "io/segy": ["*"],
    "io/seisan": ["*"],
    "io/sh": ["*.QHD", "*.ASC"],
    "io/wav": ["*"],
    "io/win": ["*"],
    "io/y": ["*"],
    "clients/fdsn": ["*.mseed"],
    "clients/filesystem": ["*.mseed"],
    "clients/iris": ["*.mseed"],
    "core": ["*.mseed", "*.slist", "test.t*", "test.zip"],
    "realtime": ["*.SAC"],
    "signal": ["*.mseed", "*.slist.gz", "*.SAC*", "*.sac", "IUANMO.seed", "ref_*"],
}

# Not recordings: what describes one, and numbers to compare one with.
OTHERS = [
    "README*",
    "readme*",
    "Readme*",
    "*.asc.gz",
    "BRV*.asc",
    "*.MVO_21_1.ascii",
    "*.DAT.gz",
    "*.npy",
    "*.npz",
    "*.xml",
    "*.json",
    "*.sacpz",
    "*.pz",
    "RESP.*",
    "SAC_PZs*",
    "STA2.testlines*",
    "bulletin/*",
    "event.txt",
]

# Samples in a file of their own, found by way of the recording that names them.
COMPANIONS = {"io/css": ["*.w", "*.w.gz"], "io/sh": ["*.QBN"]}

TARGET = Path(__file__).resolve().parent / "recordings"


def main() -> None:
    """Every recording is under `recordings/`, and its path has been printed."""
    installed = Path(obspy.__file__).resolve().parent
    recordings = []
    for folder, patterns in FOLDERS.items():
        data = installed / folder / "tests" / "data"
        for path in sorted(path for path in data.rglob("*") if path.is_file()):
            name = path.relative_to(data).as_posix()
            is_other = matches(name, OTHERS)
            is_companion = matches(name, COMPANIONS.get(folder, []))
            if is_companion or (matches(name, patterns) and not is_other):
                copy = lay(path, TARGET / Path(folder).name / name)
                if not is_companion:
                    recordings.append(copy)
    for path in recordings:
        sys.stdout.write(f"{path.relative_to(TARGET.parent)}\0")
    formats = len({path.relative_to(TARGET).parts[0] for path in recordings})
    print(f"{len(recordings)} recordings from {formats} folders of ObsPy", file=sys.stderr)


def matches(name: str, patterns: list[str]) -> bool:
    """Whether `name`, or its last part, is like one of `patterns`."""
    return any(fnmatch(name, pattern) or fnmatch(Path(name).name, pattern) for pattern in patterns)


def lay(source: Path, target: Path) -> Path:
    """A copy of `source` is at `target`, with its time, so that a second round changes nothing."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copy2(source, part)
        part.replace(target)
    return target


if __name__ == "__main__":
    main()
