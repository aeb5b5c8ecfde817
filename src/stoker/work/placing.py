"""Owns the one move by which an output appears at its published path, or takes an earlier one's place."""

import ctypes
import errno
import os
from contextlib import AbstractContextManager
from secrets import token_hex
from typing import Protocol

from stoker.failpoints import hit
from stoker.work.scratch import HIDDEN, wipe
from stoker.work.standing import Stamps, stamps_of

_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_libc = ctypes.CDLL(None, use_errno=True)


class HiddenNames(Protocol):
    """The keeper of hidden names, so that what a crash leaves under them is removed."""

    def hidden(self, path: str) -> AbstractContextManager[None]:
        """While inside, `path` may exist."""


def hidden_beside(target: str) -> str:
    """Return a new hidden name in the folder of `target`."""
    return os.path.join(os.path.dirname(target), f"{HIDDEN}{token_hex(8)}")


def place(source: str, target: str, folder: HiddenNames, *, replaced: Stamps | None) -> None:
    """`source` is at the target from one moment to the next; what was there before is deleted.

    `replaced` is how everything looks that may be deleted for it. FileExistsError, and nothing has
    changed, where there is anything else.
    """
    try:
        _rename_new(source, target)
    except FileExistsError:
        if replaced is None:
            raise
        if os.path.isdir(source):
            _replace_folder(source, target, folder, replaced)
        else:
            _check_stamps(target, replaced)
            os.replace(source, target)


def _check_stamps(path: str, replaced: Stamps) -> None:
    """FileExistsError if there is anything at `path` that may not be deleted."""
    if not stamps_of(path) <= replaced:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def _renameat2(source: str, target: str, flags: int) -> None:
    result = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _rename_new(source: str, target: str) -> None:
    """Rename to a name that is free; FileExistsError if it is taken.

    File systems that cannot promise it in one call get a hard link (files), or a look before.
    """
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as problem:
        if problem.errno not in _UNKNOWN:
            raise
    else:
        return
    if os.path.isdir(source):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links either
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)
    else:
        os.unlink(source)


def _replace_folder(source: str, target: str, folder: HiddenNames, replaced: Stamps) -> None:
    """The folder `source` is at `target` in place of our earlier one, which is removed.

    It is looked at once more when nobody finds it any more, and put back if somebody added to it.
    """
    aside = hidden_beside(target)
    with folder.hidden(aside):
        os.rename(source, aside)
        try:
            _renameat2(aside, target, _EXCHANGE)
        except OSError as problem:
            if problem.errno not in _UNKNOWN:
                raise
            _swap_by_hand(aside, target, folder, replaced)
        else:
            hit("exchanged")
            try:
                _check_stamps(aside, replaced)
            except FileExistsError:
                _renameat2(aside, target, _EXCHANGE)
                raise
        finally:
            wipe(aside)


def _swap_by_hand(aside: str, target: str, folder: HiddenNames, replaced: Stamps) -> None:
    """Swap where the file system cannot exchange: for a moment there is nothing at `target`."""
    old = hidden_beside(target)
    with folder.hidden(old):
        os.rename(target, old)
        try:
            _check_stamps(old, replaced)
        except FileExistsError:
            os.rename(old, target)
            raise
        os.rename(aside, target)
        wipe(old)
