"""JSON from outside: strict JSON afterwards, whatever its writer took for JSON.

NaN and the infinities, which many writers produce, and numbers that are too large for a double
become null: one rule for values, `extract`, documents of feeds, and lists of parameters. A parameter
is never null, so that there it is a mistake.
"""

import json
import math
from typing import Any


def read_json(text: str | bytes) -> Any:
    """Return what the JSON says; ValueError or RecursionError if it is not JSON."""
    return json.loads(text, parse_constant=_nothing, parse_float=_finite)


def _nothing(_word: str) -> None:
    return None


def _finite(word: str) -> float | None:
    number = float(word)
    return number if math.isfinite(number) else None
