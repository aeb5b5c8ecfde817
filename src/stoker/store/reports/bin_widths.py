"""Even widths of bins and of the parts of an axis: a second, five minutes, a day."""

_WIDTHS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200),
    *(86_400, 172_800, 604_800, 1_209_600, 2_419_200, 4_838_400, 9_676_800, 31_449_600),
)


def width_for(begin_us: int, end_us: int, most: int) -> int:
    """Return the least even width, in microseconds, of which at most so many cover the window."""
    span_s = (end_us - begin_us) / 1e6
    found = next((one for one in _WIDTHS_S if span_s / one <= most), None)
    if found is None:
        found = _WIDTHS_S[-1] * -(-int(span_s) // (_WIDTHS_S[-1] * most))
    return found * 1_000_000
