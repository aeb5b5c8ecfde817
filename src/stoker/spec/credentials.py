"""Passwords for the store and for feeds: from variables that a URL names, or from a file.

No message repeats a password.
"""

import os
import re
import stat

from stoker.errors import Refused, UserError

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LIMIT_BYTES = 4096


def expanded(text: str, *, of: str) -> str:
    """Return the text with the values of the variables that it names. UserError if one is not set.

    `of` names the setting, for the message.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UserError(
                f"{of} names `${{{found[1]}}}`, which is not in the environment; set it where "
                "Stoker runs, or use `password_file`"
            )
        return os.environ[found[1]]

    return _REFERENCE.sub(value, text)


def password_in(path: str, *, of: str) -> str:
    """Return the first line of the file, the password `of` something.

    UserError if it cannot be read, Refused if other accounts can read it. Only a regular file is
    opened, so that nothing waits for a FIFO.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(
            f"the `password_file` `{path}` of {of} cannot be read: {error.strerror}"
        ) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise UserError(f"the `password_file` `{path}` of {of} is not a file")
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise Refused(f"everybody can read `{path}`, the password of {of}: chmod o= it")
        line = os.read(descriptor, _LIMIT_BYTES).partition(b"\n")[0]
    finally:
        os.close(descriptor)
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError:
        raise UserError(f"the `password_file` `{path}` of {of} is not text in UTF-8") from None
