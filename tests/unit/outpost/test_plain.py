"""Values of the model as plain JSON, and back."""

import json

import pytest

from stoker.model.member import Member, MemberOutput
from stoker.model.volume import PackedFile
from stoker.outpost.plain import from_plain, to_plain

MEMBER = Member(
    key="a\udcff",
    state="done",
    meta={"n": [1, {"x": None}]},
    values={"make": {"rate": 0.5}},
    outputs={
        "make": {"root": (MemberOutput("/r/a", 3, "xxh3:0"), MemberOutput("/b", 1, "y", True))}
    },
    pack=(PackedFile(step="s", name="n", path="/p", size_bytes=1, checksum="c"),),
)


def test_a_member_of_a_group_comes_back_as_it_was():
    assert from_plain(Member, json.loads(json.dumps(to_plain(MEMBER)))) == MEMBER


@pytest.mark.parametrize(
    "odd", [["/r", 3], ["/r", "3", "c"], {"path": "/r"}, "abc", [1, 2, 3], None]
)
def test_an_output_that_makes_no_sense_is_refused(odd):
    plain = to_plain(MEMBER) | {"outputs": {"make": {"root": [odd]}}}
    with pytest.raises(ValueError, match="Member"):
        from_plain(Member, plain)
