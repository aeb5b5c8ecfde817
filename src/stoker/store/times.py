"""From the store's microseconds to times that people and data frames understand."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def moment(at_us: int) -> datetime: ...
@overload
def moment(at_us: None) -> None: ...
def moment(at_us: int | None) -> datetime | None:
    """Return the time in UTC, exact to the microsecond; None stays None."""
    return None if at_us is None else _EPOCH + timedelta(microseconds=at_us)
