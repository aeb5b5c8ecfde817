"""Which name was meant: the nearest one that is there, for a name that is not."""

import os

from stoker.spec.problems import nearest

_HINTS = 50  # in one reading; each costs a comparison with all the names in a folder
_NAMES = 5_000  # in a folder; above, comparing takes too long


class Nearby:
    """Hints for one reading; a folder is read once."""

    def __init__(self) -> None:
        self._left = _HINTS
        self._names: dict[str, list[str]] = {}

    def hint(self, folder: str, path: str) -> str:
        """Return the end of a message that names the nearest file, or nothing.

        `path` is absolute or relative to `folder`, and shown as it is written.
        """
        whole = os.path.join(folder, path)
        head, tail = os.path.split(whole.rstrip("/"))
        if not self._left or os.path.lexists(whole):
            return ""
        self._left -= 1
        near = nearest(tail, self._in(head))
        return f"; did you mean `{path.rstrip('/').removesuffix(tail)}{near}`?" if near else ""

    def _in(self, folder: str) -> list[str]:
        if folder not in self._names:
            try:
                names = os.listdir(folder or ".")
            except (OSError, ValueError):
                names = []
            self._names[folder] = names if len(names) <= _NAMES else []
        return self._names[folder]
