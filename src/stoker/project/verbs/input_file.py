"""A file that a command reads its input from, `-` for standard input."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from stoker.errors import NotFound, UserError


def open_input(name: str, *, missing: str) -> AbstractContextManager[BinaryIO]:
    """Return the file, open; NotFound with the words `missing` if it is not there, UserError otherwise.

    Standard input stays open at the end of the block.
    """
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise NotFound(missing) from None
    except OSError as error:
        raise UserError(f"`{name}` cannot be read: {error.strerror}") from None
