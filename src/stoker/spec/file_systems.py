"""Which kinds of file systems other hosts may write to: the one list of them."""

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "panfs", "orangefs", "pvfs2", "wekafs"}
)
_ESCAPE = re.compile(rb"\\([0-7]{3})")  # blanks and backslashes in a folder's name


def file_system_of(path: str | os.PathLike[str]) -> str:
    """Return the kind of the file system that holds `path`, as the kernel names it; '' if not known."""
    try:
        mounts = MOUNTS.read_bytes().splitlines()
    except OSError:
        return ""
    real = os.fsencode(os.path.realpath(path))
    best, kind = b"", ""
    for line in mounts:
        fields = line.split(b" ")
        written = _ESCAPE.sub(lambda found: bytes([int(found[1], 8)]), fields[1])
        folder = written.rstrip(b"/") + b"/"
        if (real + b"/").startswith(folder) and len(folder) >= len(best):
            best, kind = folder, os.fsdecode(fields[2])
    return kind


def may_be_shared(path: str | os.PathLike[str]) -> bool:
    """Whether other hosts may write there, of which this kernel gives no notice.

    What a program of a user serves (`fuse`) may come from anywhere.
    """
    kind = file_system_of(path)
    return not kind or kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse")
