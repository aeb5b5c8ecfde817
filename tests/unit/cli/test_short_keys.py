"""Long keys in a narrow table."""

import pytest

from stoker.cli.short_keys import shorten


def runs(text, n=3):
    return [text.format(number) for number in range(n)]


@pytest.mark.parametrize(
    ("keys", "width", "shown"),
    [
        (["a", "b/c"], 5, ["a", "b/c"]),
        (runs("/data/2024/a/very/long/way/run_{}/a.dat"), 24, runs("/data/2024/…/run_{}/a.dat")),
        (runs("begin-{}-and-the-same-long-end.dat"), 20, runs("begin…-{}…ong-end.dat")),
        (
            runs("/data/site-x/sub-{}_ses-01_task-rest_bold.nii"),
            25,
            runs("/data/si…/sub-{}…_bold.nii"),
        ),
        (["short", "x" * 30 + "end"], 16, ["short", "xxxxx…xxxxxxxend"]),
        (["ä" * 40], 12, ["ääää…äääääää"]),
    ],
)
def test_keys_are_cut_where_they_do_not_differ(keys, width, shown):
    assert [shorten(keys, width)[key] for key in keys] == shown


def test_two_keys_never_look_the_same():
    keys = [f"{'x' * a}{'y' * b}" for a in range(1, 30) for b in range(1, 30)]
    for width in (1, 12, 20, 40):
        shown = shorten(keys, width)
        assert len(set(shown.values())) == len(keys)
    assert max(map(len, shorten(runs("a" * 30 + "{}" + "b" * 30), 14).values())) == 14
