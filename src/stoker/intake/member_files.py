"""Files about groups that other people write: one that names all members, one that says it is complete."""

import os
import stat
import time

from stoker.errors import UserError
from stoker.intake.decoding import numbered_in
from stoker.model.item import key_from_name

MOST_BYTES = 32 << 20  # of a file that names members: several hundred thousand of them


class NotReadable(Exception):
    """A file that names members is not there yet, still being written, or not such a file.

    `is_wrong`: it will not become one by itself. `again_s` is after which time it may be read.
    """

    def __init__(self, text: str, *, is_wrong: bool = False, again_s: float = 10.0) -> None:
        super().__init__(text)
        self.is_wrong = is_wrong
        self.again_s = again_s


def exists(path: str) -> bool:
    """Whether there is something at the path."""
    try:
        os.stat(path)
    except (OSError, ValueError):
        return False
    return True


def read_names(path: str, *, settle_s: float) -> list[str]:
    """Return the names in the file, one a line; lines that begin with `#` are comments.

    NotReadable where it is not there, was changed less than `settle_s` ago, is too large, or is not a
    text of names. Never waits for another program, whatever is at the path.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        raise NotReadable(f"`{path}`, which is not there") from None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise NotReadable(f"`{path}` cannot be read: {words}", is_wrong=True) from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise NotReadable(f"`{path}` is not a file that names members", is_wrong=True)
    with os.fdopen(descriptor, "rb") as file:
        if found.st_size > MOST_BYTES:
            size, most = found.st_size >> 20, MOST_BYTES >> 20
            text = f"`{path}` has {size:,} MiB, and a list of members has at most {most} MiB"
            raise NotReadable(text, is_wrong=True)
        age_s = time.time() - found.st_mtime
        if 0 <= age_s < settle_s:
            raise NotReadable(f"`{path}` to settle", again_s=settle_s - age_s)
        try:
            content = file.read(MOST_BYTES + 1)
            names = [name.strip() for _, name in numbered_in(content, name=path)]
        except UserError as error:
            raise NotReadable(str(error), is_wrong=True) from None
        except OSError as error:
            text = f"`{path}` cannot be read: {error.strerror or error}"
            raise NotReadable(text, is_wrong=True) from None
    named = [key_from_name(name) for name in names if name and not name.startswith("#")]
    if not named:
        raise NotReadable(f"`{path}` to name members; it is empty")
    return named
