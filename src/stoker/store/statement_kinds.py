"""Telling statements that change something, or lock it, from those that only read."""

from typing import Any

from sqlalchemy import Select
from sqlalchemy.sql.selectable import CompoundSelect


class NeedsLock(Exception):
    """A transaction that only reads was asked to change something; nothing was changed."""


def is_change(statement: Any) -> bool:
    """Whether the statement writes, or locks rows that it reads."""
    if isinstance(statement, CompoundSelect):
        return False
    if not isinstance(statement, Select):
        return True
    return statement._for_update_arg is not None  # noqa: SLF001 - there is no public way to ask
