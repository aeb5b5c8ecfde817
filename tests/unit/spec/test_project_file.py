"""Which files a pattern matches: as a shell's, and whatever links there are."""

import glob
import os

import pytest

from stoker.spec.project_file import files_matching

PATTERNS = [
    "*.toml", "**/*.toml", "a/**/*.toml", "**", "a/**", "*/b/*.toml", "**/b/**/*.toml",
    "**/**/*.toml", "none/**/*.toml", "a*/**/x.toml", "**/*[a-z].toml",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    for name in ("x.toml", "a/x.toml", "a/b/y.toml", "a/b/c/b/z.toml", ".h/x.toml", "a/.k.toml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "a/fifo.toml").mkdir()
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_what_it_does_elsewhere(tree, pattern):
    found = {
        name.rstrip("/") for name in glob.glob(pattern, root_dir=tree, recursive=True) if name != ""
    }
    found.discard("a" if pattern == "a/**" else "")  # the folder itself is no file below it
    assert set(files_matching(pattern, tree)) == found
    absolute = files_matching(f"{tree}/{pattern}", tree)
    assert [os.path.relpath(name, tree) for name in absolute] == files_matching(pattern, tree)


def test_links_that_lead_in_a_circle_end(tree):
    for name in ("one", "two", "three"):
        (tree / "a" / name).symlink_to("..")
        (tree / "a" / "b" / name).symlink_to(tree)
    (tree / "a" / "self").symlink_to("self")
    found = files_matching("**/*.toml", tree)
    assert {"x.toml", "a/x.toml", "a/b/y.toml"} <= set(found)
    assert len(found) < 20


def test_what_lies_behind_a_link_is_found(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "people.toml").touch()
    (tree / "more").symlink_to(other)
    assert "more/people.toml" in files_matching("**/*.toml", tree)
