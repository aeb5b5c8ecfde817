"""JSON from outside: strict JSON afterwards, whatever its writer took for JSON.

NaN and the infinities, which many writers produce, and numbers that are too large for a double
become null: one rule for values, `extract`, documents of feeds, and lists of parameters. A parameter
is never null, so that there it is a mistake. What nests deeper than people write is refused here:
conditions and templates go through what was accepted, and would end at Python's own limit.
"""

import json
import math
import sys
from typing import Any

MOST_LEVELS = 100  # of lists and objects inside one another


def read_json(text: str | bytes, *, is_bounded: bool = True) -> Any:
    """Return what the JSON says; ValueError if it is not JSON, or nests too deeply.

    Not `is_bounded` is what holds more than a value and is taken apart by the caller.
    """
    try:
        found = json.loads(text, parse_constant=_nothing, parse_float=_finite)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        digits = sys.get_int_max_str_digits()
        raise ValueError(f"a whole number has more than {digits:,} digits") from None
    if is_bounded:
        check_levels(found)
    return found


def check_levels(value: Any) -> None:
    """ValueError if lists and objects are inside one another more deeply than `MOST_LEVELS`."""
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        inside = [one for one in level if isinstance(one, dict | list)]
        if not inside:
            return
        level = [
            inner for one in inside for inner in (one.values() if isinstance(one, dict) else one)
        ]
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"lists and objects are inside one another more than {MOST_LEVELS} times"


def _nothing(_word: str) -> None:
    return None


def _finite(word: str) -> float | None:
    number = float(word)
    return number if math.isfinite(number) else None
