"""Files of other projects that the web pages use: taken from npm's packages as they are, and locked.

    tools/vendor.py --check                     the files are those of the lock, and the lock npm's
    tools/vendor.py --update NAME@VERSION       takes the files of another version

`src/stoker/web/static/vendor.lock.json` has of each file its package, version, npm's integrity of that
package, the path in it, the SHA-256 of the file, and the licence. Licences are in `LICENSES/vendor`.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "src" / "stoker" / "web" / "static"
LOCK = STATIC / "vendor.lock.json"


def main() -> int:
    """Check or update; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--check", action="store_true")
    chosen.add_argument("--update", metavar="NAME@VERSION")
    options = parser.parse_args()
    lock: dict[str, dict[str, Any]] = json.loads(LOCK.read_text("utf-8"))
    if options.update:
        update(lock, *options.update.rsplit("@", 1))
        return 0
    return check(lock)


def check(lock: dict[str, dict[str, Any]]) -> int:
    """Print each file that is not as npm has it; return 1 if there is one."""
    faults = []
    for package in sorted({(one["package"], one["version"]) for one in lock.values()}):
        integrity, content = fetch(*package)
        for name, one in lock.items():
            if (one["package"], one["version"]) != package:
                continue
            if one["integrity"] != integrity:
                faults.append(f"{name}: npm has another integrity of {package[0]}@{package[1]}")
            if content[one["path"]] != (STATIC / "vendor" / name).read_bytes():
                faults.append(f"{name}: differs from `{one['path']}` of the package")
    for fault in faults:
        sys.stdout.write(fault + "\n")
    return 1 if faults else 0


def update(lock: dict[str, dict[str, Any]], package: str, version: str) -> None:
    """The files of the package are those of that version, and the lock says so."""
    integrity, content = fetch(package, version)
    for name, one in lock.items():
        if one["package"] == package:
            data = content[one["path"]]
            (STATIC / "vendor" / name).write_bytes(data)
            one |= {
                "version": version,
                "integrity": integrity,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
    LOCK.write_text(json.dumps(lock, indent=2) + "\n", "utf-8")


def fetch(package: str, version: str) -> tuple[str, dict[str, bytes]]:
    """Return npm's integrity of a package, which its content has, and the content of its files."""
    words = ["npm", "pack", "--silent", "--json", f"{package}@{version}"]
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
        (packed,) = json.loads(found.stdout)
        path = Path(folder, packed["filename"].replace("@", "").replace("/", "-"))
        data = path.read_bytes()
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")
        if packed["integrity"] != f"sha512-{digest}":
            raise SystemExit(f"{package}@{version}: the package is not what npm says of it")
        with tarfile.open(path) as archive:
            content = {
                member.name.removeprefix("package/"): file.read()
                for member in archive
                if member.isfile() and (file := archive.extractfile(member)) is not None
            }
    return packed["integrity"], content


if __name__ == "__main__":
    sys.exit(main())
