"""Patterns of sources, and which files below a folder are taken."""

import os

import pytest

from stoker.intake.globs import PathFilter
from stoker.model.globs import matches
from stoker.model.pipeline import Pipeline, Source


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("a.dat", "**/*", True),
        ("x/y/a.dat", "**/*.dat", True),
        ("a.dat", "**/*.dat", True),
        ("a.dat", "*.dat", True),
        ("x/a.dat", "*.dat", False),
        ("x/a.dat", "x/*.dat", True),
        ("x/y/z/a", "x/**", True),
        ("a1", "a[0-9]", True),
        ("ab", "a[!0-9]", True),
        ("a1", "a[!0-9]", False),
        ("a/b", "a[/]b", False),
        ("a.b", "a?b", True),
        ("axb", "a.b", False),
        ("a[", "a[", True),
        ("new\nline", "*", True),
    ],
)
def test_patterns(path, pattern, fits):
    assert matches(path, pattern) == fits


def test_hidden_files_own_files_and_what_the_source_excludes_are_left_out(tmp_path):
    for name in ("stoker.toml", "data/stoker.toml", "data/b.dat", "data/a.dat", "data/.x.dat",
                 "data/raw/c.dat", "data/.cache/d.dat", "data/a.log"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    source = Source(name="s", folder=str(tmp_path / "data"), glob="**/*.dat", exclude=("raw/*",))
    pipeline = Pipeline(name="p", folder=str(tmp_path), steps=(), sources=(source,))
    chosen = PathFilter(pipeline, str(tmp_path))
    names = [
        os.path.relpath(path, tmp_path) for path in chosen.below(str(tmp_path / "data"), print)
    ]
    assert names == ["data/a.dat", "data/b.dat"]
    everything = PathFilter(Pipeline(name="q", folder="/", steps=()), str(tmp_path))
    names = [os.path.relpath(path, tmp_path) for path in everything.below(str(tmp_path), print)]
    assert names == [
        "data/a.dat", "data/a.log", "data/b.dat", "data/stoker.toml", "data/raw/c.dat",
    ]  # fmt: skip
