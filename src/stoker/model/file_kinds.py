"""What kind of file something is, in words."""

import stat

_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def kind_of(mode: int) -> str:
    """Return what kind of file has this mode."""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "a device")
