import pytest

from stoker.spec.quantities import parse_size, parse_time


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("12G", 12 * 2**30), ("1.5K", 1536), ("3M", 3 * 2**20), ("2T", 2**41), ("512", 512), (7, 7)],
)
def test_size(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "12GB", "12g", "G", "-1G", "1e3", "0", -1, True, None, 1.5])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2h", 7200),
        ("1.5h", 5400),
        ("1d", 86400),
        ("3m", 180),
        (5, 5),
        (0.5, 0.5),
        ("7", 7),
    ],
)
def test_time(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "2 hours", "h", "-5s", -5, "1h30m", True, None, [1], float("inf")]
)
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text)
