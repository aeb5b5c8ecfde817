"""The lists of a group's members: paths of any length are whole, and none breaks a line."""

import csv
import json

import pytest

from stoker.errors import UserError
from stoker.model.member import Member, MemberOutput
from stoker.work import member_lists


def a_member(key: str, *paths: str, values=None, removed: bool = False) -> Member:
    outputs = tuple(MemberOutput(path, 1, "xxh3:0", removed) for path in paths)
    return Member(
        key=key,
        state="done",
        meta={},
        params={},
        values={"quant": values} if values is not None else {},
        outputs={"quant": {"tpm": outputs}},
        reason=None,
    )


def written(tmp_path, *members: Member, lists=(("quant", "tpm"),)):
    """Write the lists of these members, a page for each; return the folder."""
    pages = {(members[n - 1].key if n else ""): [one] for n, one in enumerate(members)}
    scratch = tmp_path / "scratch"
    member_lists.write(
        lambda _, after: pages.get(after, []), 1, lists, scratch=str(scratch), mode=0o700
    )
    return tmp_path / "lists"


def test_a_path_of_four_thousand_bytes_is_whole(tmp_path):
    path = "/p/" + "/".join("d" * 199 for _ in range(20))
    folder = written(tmp_path, a_member("a", path), a_member("b", "/p/b", "/p/c d"))
    lines = (folder / "members.quant.tpm.txt").read_text().splitlines()
    assert lines == [path, "/p/b", "/p/c d"]


def test_a_path_that_is_not_utf_8_is_there_byte_for_byte(tmp_path):
    folder = written(tmp_path, a_member("a", "/p/\udcff"))
    assert (folder / "members.quant.tpm.txt").read_bytes() == b"/p/\xff\n"
    (line,) = (folder / "members.jsonl").read_text().splitlines()
    assert json.loads(line)["outputs"]["quant"]["tpm"][0]["path"] == "/p/\udcff"


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_path_with_a_line_end_is_refused_with_the_remedy(tmp_path, end):
    with pytest.raises(UserError, match=r"line end in its path.*read it from `\{members\}`"):
        written(tmp_path, a_member("a", f"/p/a{end}b"))
    folder = written(tmp_path / "other", a_member("a", f"/p/a{end}b"), lists=())
    (line,) = (folder / "members.jsonl").read_text().splitlines()
    assert json.loads(line)["outputs"]["quant"]["tpm"][0]["path"] == f"/p/a{end}b"


def test_a_temporary_output_that_was_deleted_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match="`stoker rerun 'a b' --step quant`"):
        written(tmp_path, a_member("a b", "/p/a", removed=True))


def test_a_group_without_members_is_not_done_again_with_nothing(tmp_path):
    with pytest.raises(UserError, match=r"none of the group's members .* earlier result stays"):
        written(tmp_path)


def test_values_of_all_members_stand_in_one_table(tmp_path):
    folder = written(
        tmp_path,
        a_member("a", values={"rate": 1.5, "note": 'x,"y"\n'}),
        a_member("b", values={"ok": True, "rate": None, "list": [1]}),
        lists=(("quant", "values"),),
    )
    with (folder / "members.quant.values.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["key", "rate", "note", "ok", "list"],
            ["a", "1.5", 'x,"y"\n', "", ""],
            ["b", "", "", "true", "[1]"],
        ]
