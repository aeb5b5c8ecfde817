"""Files that parameters name keep their `validate`, whatever door their item comes through."""

import pytest

from stoker.intake.admission import Admission
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline, Run, Step
from stoker.model.source import Rules


def admitted(folder, *, items=ItemKind.RECORDS, path=None, rules=None, **params):
    rules = rules or Rules(min_bytes=2, magic=b"ok".hex(), command=("test", "-e", "{item}"))
    kinds = {"one": ParamType.PATH, "many": ParamType.LIST}
    declared = tuple(
        Param(name=name, type=kind, items=ParamType.PATH, rules=rules)
        for name, kind in kinds.items()
    )
    pipeline = Pipeline(
        name="p",
        folder=str(folder),
        items=items,
        params=declared,
        steps=(Step(name="s", action=Run(text="true")),),
    )
    return Admission(pipeline).admit(NewItem(key="k", path=path, params=params))


def test_good_ones_pass(tmp_path):
    (tmp_path / "a").write_text("ok and more")
    assert admitted(tmp_path, one=f"{tmp_path}/a", many=[f"{tmp_path}/a"] * 2).reason is None
    assert admitted(tmp_path).reason is None
    assert admitted(tmp_path, one="relative", many=[]).reason is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"x", "`min_size` is 2"),
        (b"no!", "`magic` is"),
        (None, "No such file"),
    ],
)
def test_bad_ones_come_into_quarantine_with_the_reason(tmp_path, content, words):
    if content is not None:
        (tmp_path / "a").write_bytes(content)
    for params in ({"one": f"{tmp_path}/a"}, {"many": [f"{tmp_path}/a"]}):
        reason = admitted(tmp_path, **params).reason
        assert words in reason
        assert f"parameter `{next(iter(params))}`, `{tmp_path}/a`" in reason


def test_their_command_is_asked(tmp_path):
    (tmp_path / "a").write_text("ok")
    rules = Rules(command=("sh", "-c", "echo not so >&2; exit 1"))
    assert "not so" in admitted(tmp_path, rules=rules, one=f"{tmp_path}/a").reason


def test_their_command_finds_what_lies_in_the_projects_folder(tmp_path):
    (tmp_path / "a").write_text("ok")
    (tmp_path / "allowed").write_text("")
    for name, is_good in {"allowed": True, "other": False}.items():
        rules = Rules(command=("test", "-e", f"{{project}}/{name}"))
        reason = admitted(tmp_path, rules=rules, one=f"{tmp_path}/a").reason
        assert (reason is None) == is_good
