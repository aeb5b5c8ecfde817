"""A curve as an expression of SQL, so that thousands of rows get their order in one statement."""

from typing import Any

from sqlalchemy import BigInteger, Double, bindparam, case, cast, type_coerce

from stoker.model.curve import Curve
from stoker.model.rank import MOST_MS

_PIECES = 12  # more than any curve has
_NEVER = 1e300
_MOST_MS = float(MOST_MS)


def milliseconds(size: Any, name: str) -> Any:
    """Return the whole milliseconds of a curve at a column of sizes, its numbers being parameters."""
    of: Any = type_coerce(size, Double())
    pieces = [
        (of <= _number(f"{name}_to{n}"), _number(f"{name}_from{n}") + _number(f"{name}_by{n}") * of)
        for n in range(_PIECES)
    ]
    found = case((size.is_(None), _number(f"{name}_none")), *pieces, else_=_number(f"{name}_most"))
    return cast(found, BigInteger())


def numbers(curve: Curve, name: str) -> dict[str, float]:
    """Return the parameters for that curve."""
    pieces = curve.pieces()
    ends = [float(size) for size in curve.sizes[1:]]
    start, slope = pieces[-1]
    ends.append((_MOST_MS / 1000 - start) / slope if slope > 0 else _NEVER)
    found = {
        f"{name}_none": min(curve.without_size * 1000, _MOST_MS),
        f"{name}_most": _MOST_MS,
    }
    for n in range(_PIECES):
        at = min(n, len(pieces) - 1)
        found[f"{name}_to{n}"] = ends[at]
        found[f"{name}_from{n}"] = min(pieces[at][0] * 1000, _MOST_MS)
        found[f"{name}_by{n}"] = pieces[at][1] * 1000
    return found


def _number(name: str) -> Any:
    return bindparam(name, type_=Double(), required=True)
