"""JSON of what verbs return: times, dataclasses and odd bytes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from stoker.model import encoding
from stoker.model.encoding import Answer


def test_times_in_json_are_utc_to_the_microsecond():
    at = datetime(2026, 11, 22, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=1)))
    assert encoding.rfc3339(at) == "2026-11-22T03:05:06.000007Z"


def test_dataclasses_and_odd_bytes_become_json():
    @dataclass
    class Row:
        path: str
        at: datetime
        inner: tuple

    row = Row("\udcff.dat", datetime(2026, 1, 1, tzinfo=UTC), (Row("x", None, ()),))
    assert encoding.as_text(row) == (
        '{"path":"\\udcff.dat","at":"2026-01-01T00:00:00.000000Z",'
        '"inner":[{"path":"x","at":null,"inner":[]}]}'
    )


@dataclass
class Outer(Answer):
    at: datetime
    inner: dict[str, tuple["Outer", ...]]


def test_an_answer_is_plain_values_all_the_way_down():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = Outer(at, {"a": (Outer(at, {}),)}).as_json()
    text = "2026-01-01T00:00:00.000000Z"
    assert found == {"at": text, "inner": {"a": [{"at": text, "inner": {}}]}}


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), dataclass])
def test_what_has_no_json_is_named_and_not_left_out(value):
    with pytest.raises(TypeError, match=f"`{type(value).__name__}` has no JSON"):
        encoding.as_text({"key": value})
