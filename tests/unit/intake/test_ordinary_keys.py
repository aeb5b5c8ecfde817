"""Ordinary names take a short way to a key; it must lead where the long one does."""

import pytest

from stoker.errors import UserError
from stoker.model import item
from stoker.model.item import KEY_LIMIT_BYTES, check_key, key_of

NAMES = [
    "a", "a/b.dat", "50%", "", "/a", "..", "a/../b", "a..b", "...", "a/..", "a\tb", "a\x7f", "ä/ö",
    "x\udcff%", "\u2028", "x" * KEY_LIMIT_BYTES, "x" * (KEY_LIMIT_BYTES + 1), "ä" * KEY_LIMIT_BYTES,
]  # fmt: skip


def outcome(make, name):
    try:
        return make(name)
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("make", [key_of, check_key])
@pytest.mark.parametrize("name", NAMES)
def test_the_short_way_and_the_long_way_agree(make, name, monkeypatch):
    short = outcome(make, name)
    monkeypatch.setattr(item, "is_plain_key", lambda _name: False)
    assert outcome(make, name) == short
