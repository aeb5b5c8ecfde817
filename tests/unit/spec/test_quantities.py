import pytest

from stoker.spec.quantities import parse_size, parse_time


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("12G", 12 * 2**30), ("1.5K", 1536), ("3M", 3 * 2**20), ("2T", 2**41), ("512", 512), (7, 7)],
)
def test_size(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["12g", "12GB", "12 GiB", "12gb"])
def test_a_size_as_people_write_it_gets_its_right_form(text):
    with pytest.raises(ValueError, match=r"write `12G`$"):
        parse_size(text)


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


@pytest.mark.parametrize(
    ("parse", "largest", "beyond"),
    [
        (parse_size, "1048576T", ["1048577T", 1 << 61, "9" * 400, "9" * 5000]),
        (parse_time, "36500d", ["36501d", 1e300, 10**400, "9" * 400]),
    ],
)
def test_what_is_larger_than_a_column_or_a_clock_can_take(parse, largest, beyond):
    assert parse(largest) > 0
    for value in beyond:
        with pytest.raises(ValueError, match=f"at most {largest} is allowed|is not a"):
            parse(value)
