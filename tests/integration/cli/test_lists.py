"""Verbs on what a list names: keys, paths, error folders; `retry --from` and its like."""

import os

import pytest

TOML = """
[pipelines.p]
error_folder = "errors/{key}/"
[pipelines.p.steps.s]
run = "cat {item}; [ -e $GOOD ]"
env.GOOD = "HERE/good"
"""
NAMES = ["a", "b*", "[c]", "sub/d e", "-f", "g"]


@pytest.fixture
def failed(lab):
    lab.write("stoker.toml", TOML.replace("HERE", str(lab.folder)))
    for name in NAMES:
        lab.write(f"data/{name}")
    lab("run", "p", *(f"./data/{name}" for name in NAMES), code=1)
    return lab


def keys(lab, state):
    return sorted(row["item"] for row in lab("tasks", "--state", state, "--json").rows)


def test_keys_are_literal_however_they_look(failed):
    given = b"data/b*\ndata/[c]\n\ndata/-f\n"
    out = failed("retry", "--from", "-", "--json", given=given).json
    assert (out["changed"], out["unknown"]) == ({"retry": 3}, 0)
    assert keys(failed, "ready") == ["data/-f", "data/[c]", "data/b*"]


def test_paths_of_items_and_of_error_folders_are_names_too(failed):
    errors = failed.folder / "errors" / "data"
    lines = [f"{errors}/a/", "sub/d e", f"{errors}/b*/REASON.txt", str(failed.folder / "data/g")]
    failed.write("list", "\n".join(lines))
    out = failed(
        "retry", "--from", str(failed.folder / "list"), "--dry-run", "--json",
        cwd=failed.folder / "data", STOKER_PROJECT=str(failed.folder),
    ).json  # fmt: skip
    assert (out["changed"], out["unknown"]) == ({"retry": 4}, 0)
    assert keys(failed, "ready") == []


def test_with_nul_after_each_name(failed):
    given = b"".join(os.fsencode(f"data/{name}") + b"\0" for name in NAMES)
    assert failed("hold", "--from", "-", "-0", "--json", given=given).json["left"] == {"failed": 6}
    assert failed("rerun", "--from", "-", "-0", "--json", given=given).json["changed"] == {
        "rerun": 6
    }
    assert failed("hold", "--from", "-", "-0", "--json", given=given).json["changed"] == {"hold": 6}
    out = failed("release", "--from", "-", "-0", "--state", "held", "--json", given=given[:7]).json
    assert out["changed"] == {"release": 1}
    assert failed("cancel", "--from", "-", "-0", "--json", given=given).json["changed"] == {
        "cancel": 6
    }


def test_what_no_item_has_is_said_and_the_rest_done(failed):
    given = b"data/a\nnothing\nx\xffy\n" + b"more\n" * 30
    ended = failed("retry", "--from", "-", given=given)
    assert ended.out == "1 task ready again\n"
    assert "`-`, line 2: there is no item `nothing`" in ended.err
    assert "line 3: there is no item `x%FFy`" in ended.err
    assert "and 12 more names" in ended.err


@pytest.mark.parametrize("given", [b"", b"\n\n", b"nothing\n"])
@pytest.mark.parametrize("verb", ["retry", "rerun", "cancel", "hold", "release"])
def test_an_empty_list_chooses_nothing(failed, verb, given):
    ended = failed(verb, "--from", "-", given=given)
    assert "nothing to change" in ended.err
    assert keys(failed, "failed") == sorted(f"data/{name}" for name in NAMES)


def test_a_name_of_two_pipelines_is_refused_before_anything_is_done(failed):
    text = (failed.folder / "stoker.toml").read_text()
    failed.write(
        "stoker.toml", text + text.replace("pipelines.p", "pipelines.q").replace("errors", "e")
    )
    failed("push", "q", "data/g")
    given = b"data/a\ndata/g\n"
    ended = failed("retry", "--from", "-", given=given, code=2)
    assert "line 2: `data/g` is an item of `p` and of `q`; say which with `--pipeline`" in ended.err
    assert keys(failed, "ready") == ["data/g"]
    out = failed("retry", "--from", "-", "--pipeline", "p", "--json", given=given).json
    assert out["changed"] == {"retry": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--from", "no/list"), 3, "there is no list `no/list`"),
        (("--from", "data"), 2, "`data` cannot be read"),
        (("--from", "-", "data/a"), 2, "not both"),
    ],
)
def test_what_is_no_list(failed, arguments, code, words):
    assert words in failed("retry", *arguments, given=b"data/a\n", code=code).err


def test_a_list_that_a_step_narrows_and_many_names(failed):
    many = "".join(f"none{n}\n" for n in range(3000)) + "data/a\ndata/a\ndata/g\n"
    ended = failed("retry", "--from", "-", "--step", "s", "--json", given=many.encode())
    assert ended.json["changed"] == {"retry": 2}
    assert ended.json["unknown"] == 3000
