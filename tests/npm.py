"""Files of npm's packages that tests need: taken once into the user's cache, and checked."""

import base64
import hashlib
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stoker-tests"
AXE = "axe-core@4.14.0"
INTEGRITY = {
    AXE: "sha512-9WTZxEjsZ7b13TH8JPmbV2z8CHbl80/2hm3XPEG4JgNdQLK81IBRXmSxHfMAOkSqQeRxT/0dwNDz2GOm3zzpcQ==",
}


def from_npm(package: str, path: str) -> Path:
    """Return a file of a package. OSError or CalledProcessError where npm's registry is out of reach."""
    folder = CACHE / package.replace("@", "-")
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            words = ["npm", "pack", "--silent", package]
            subprocess.run(words, cwd=name, check=True, stdout=subprocess.DEVNULL, timeout=120)
            (archive,) = Path(name).glob("*.tgz")
            check(package, archive.read_bytes())
            with tarfile.open(archive) as opened:
                opened.extractall(Path(name) / "out", filter="data")
            try:
                (Path(name) / "out" / "package").rename(folder)
            except OSError:  # another process was quicker
                if not folder.is_dir():
                    raise
    return folder / path


def check(package: str, content: bytes) -> None:
    """Raise ValueError where the package is not the one that was looked at when its name was written."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode("ascii")
    if found != INTEGRITY.get(package, found):
        raise ValueError(f"{package} from npm is another package than it was")
