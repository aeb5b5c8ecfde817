"""Small file systems of the tests' own, which can be filled to the last block."""

import contextlib
import os
import subprocess
from pathlib import Path


def mount(folder: Path, options: str) -> bool:
    """Whether the folder is now an empty file system of its own; only root may have one."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return (
        os.geteuid() == 0
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


def unmount(folder: Path) -> None:
    """The file system is gone, at the latest when the last process has left it."""
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """There is no room left, to the last block. Return the file to delete for room again."""
    big = folder / "big"
    with contextlib.suppress(OSError), big.open("wb", buffering=0) as file:
        for size in (64 * 1024, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return big


class Disks:
    """The file systems of one test, in its folder, if it may mount any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted: list[Path] = []

    def mount(self, name: str, *, options: str) -> Path:
        """Return a new folder of that name: a file system of its own if possible."""
        path = self.folder / name
        path.mkdir()
        if mount(path, options):
            self.mounted.append(path)
        return path

    def close(self) -> None:
        """None of them is left."""
        for path in self.mounted:
            unmount(path)
