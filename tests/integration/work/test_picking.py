"""Which files `from` picks, and that nothing an attempt leaves makes the search endless."""

import time

import pytest

from stoker.work.outputs import OUT, _matching


@pytest.fixture
def scratch(tmp_path):
    for name in ("a.log", "b.txt", ".hidden.log", "sub/c.log", "sub/.cache/d.log", "sub/in/e.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / OUT / "x").mkdir(parents=True)
    (tmp_path / OUT / "x" / "f.log").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "picked"),
    [
        ("*.log", "a.log"),
        ("./*.log", "a.log"),
        ("**/*.log", "a.log sub/c.log sub/in/e.log"),
        ("sub/*.log", "sub/c.log"),
        ("sub/", "sub"),
        ("*/", "sub"),
        ("b.txt/", ""),
        ("s?b/**/e.*", "sub/in/e.log"),
        (".*.log", ".hidden.log"),
        ("sub/.cache/*", "sub/.cache/d.log"),
        ("[ab].*", "a.log b.txt"),
        ("nothing*", ""),
        (f"{OUT}/**", ""),
    ],
)
def test_what_a_pattern_picks(scratch, pattern, picked):
    found = [path.removeprefix(f"{scratch}/") for path in _matching(str(scratch), pattern)]
    assert found == picked.split()


def test_loops_of_links_and_deep_folders_are_searched_once(tmp_path):
    for name in ("x", "y", "z"):
        (tmp_path / name).symlink_to(".")
    deep = tmp_path
    for _ in range(150):
        deep = deep / "a"
        deep.mkdir()
    (deep / "end.log").touch()
    began_s = time.thread_time()
    assert _matching(str(tmp_path), "**/*.log") == [str(deep / "end.log")]
    assert _matching(str(tmp_path), "**/a/" * 8 + "b") == []
    assert len(_matching(str(tmp_path), "*")) == 4, "links are found, and not entered"
    assert time.thread_time() - began_s < 1.0
