"""The files of jobs: each job has names of its own for what its client uploaded.

An upload may be submitted many times, with other parameters each time, and one path is one item. So
each job gets a folder with links to its files. The content stays where it is; it goes when the last
name of it does.
"""

import errno
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.errors import Unavailable
from stoker.project.jobs.validation import Checked, GivenFile
from stoker.spec.web import ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.settings import Settings
    from stoker.store.unit import Store

_NAME_BYTES = 200
_UNFIT = re.compile(r"[\x00-\x1f\x7f/]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A request whose files have the names under which its job knows them."""

    params: "Mapping[str, Any]"
    path: str | None = None  # of the item; None for a record


class JobFiles:
    """The folder of all jobs' files, which every worker sees."""

    def __init__(self, settings: "Settings", store: "Store") -> None:
        self.folder = os.path.join(uploads_folder(settings, store), "jobs")
        self._rights = store.rights

    def place(self, key: str, checked: Checked) -> Placed:
        """The job's files have their own names, durably. Unavailable, with none left, if they cannot."""
        made = os.path.join(self.folder, key)
        try:
            params = {
                name: self._placed(made, name, value) for name, value in checked.params.items()
            }
            path = None if checked.item is None else self._placed(made, ITEM, checked.item)
        except OSError as error:
            self.remove(key)
            raise Unavailable(f"the files of a job cannot be placed: {error.strerror}") from error
        return Placed(params=params, path=path)

    def remove(self, key: str) -> None:
        """The job's own names of its files are gone; again does nothing."""
        shutil.rmtree(os.path.join(self.folder, key), ignore_errors=True)

    def _placed(self, made: str, name: str, value: Any) -> Any:
        if isinstance(value, GivenFile):
            return self._link(os.path.join(made, name), value)
        if isinstance(value, list):
            return [
                self._link(os.path.join(made, name, str(index)), one)
                if isinstance(one, GivenFile)
                else one
                for index, one in enumerate(value)
            ]
        return value

    def _link(self, folder: str, file: GivenFile) -> str:
        self._rights.make_folder(folder)
        path = os.path.join(folder, safe_name(file.name))
        try:
            os.link(file.path, path, follow_symlinks=True)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            shutil.copyfile(file.path, path)  # a result on another disk, or of another account
            with suppress(OSError):
                shutil.copystat(file.path, path)
            _sync(path)
        _sync(folder)
        return path


def _sync(path: str) -> None:
    """The file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def uploads_folder(settings: "Settings", store: "Store") -> str:
    """Return where uploaded files are: what `[web] uploads` says, else beside the store."""
    return settings.web.uploads or str(store.folder / "uploads")


def safe_name(name: str) -> str:
    """Return a name for a file that looks like the client's, and can do no harm."""
    plain = _UNFIT.sub("_", name.rpartition("/")[2]).strip() or "file"
    encoded = plain.encode("utf-8", "replace")
    if len(encoded) > _NAME_BYTES:  # the suffix says what it is: it is kept
        stem, dot, suffix = plain.rpartition(".")
        tail = f"{dot}{suffix}".encode("utf-8", "replace")[-20:] if dot and stem else b""
        encoded = encoded[: _NAME_BYTES - len(tail)] + tail
    made = encoded.decode("utf-8", "ignore")
    return f"_{made}" if made.startswith((".", "-")) else made
