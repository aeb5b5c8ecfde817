"""What attempts write into STOKER_VALUES and STOKER_REASON, and what they put there instead."""

import pytest

from stoker.work.answers import BadAnswer, read_reason, read_values
from stoker.work.slot import Seat


@pytest.fixture
def seat(tmp_path):
    return Seat(str(tmp_path / "seat"))


def test_a_link_to_a_file_of_somebody_else_is_not_read(seat, tmp_path):
    """The attempt's account may not see the file; the worker's could."""
    (tmp_path / "secret").write_text('{"password": "hunter2"}')
    for path in (seat.values, seat.reason):
        (tmp_path / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "link").rename(path)
    for read in (read_values, read_reason):
        with pytest.raises(BadAnswer, match="is a link") as refused:
            read(seat)
        assert "hunter2" not in str(refused.value)
