"""Numbers that JSON does not have, at each place where JSON comes in or goes out."""

import json
import math

import pytest

from stoker.errors import UserError
from stoker.intake.admission import _meta_of
from stoker.model.encoding import as_text
from stoker.model.pipeline import Param, ParamType
from stoker.model.strict_json import read_json
from stoker.spec.params import check_params
from stoker.store import journal
from stoker.work.answers import read_values
from stoker.work.slot import Seat
from stoker.work.warm import _encode

ODD = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"]


@pytest.fixture
def seat(tmp_path):
    made = Seat(str(tmp_path / "seat"))
    made.make_ready()
    return made


@pytest.mark.parametrize("word", ODD)
def test_what_json_has_no_number_for_is_null_everywhere(word, seat):
    text = f'{{"x": {word}, "in": [{{"y": {word}}}], "ok": 1.5, "text": "{word}"}}'
    strict = {"x": None, "in": [{"y": None}], "ok": 1.5, "text": word}
    assert read_json(text) == read_json(text.encode()) == strict
    with open(seat.values, "w") as file:
        file.write(text)
    assert read_values(seat) == strict
    assert _meta_of(text) == {name: value for name, value in strict.items() if name != "x"}
    loose = json.loads(text)
    assert json.loads(_encode(loose)) == json.loads(as_text(loose)) == strict


@pytest.mark.parametrize("word", ODD)
@pytest.mark.parametrize("kind", [ParamType.STRING, ParamType.NUMBER])
def test_no_parameter_is_such_a_number(word, kind):
    several = Param(name="x", type=ParamType.LIST, items=kind)
    with pytest.raises(UserError, match=r"parameter `x` must be a .*not null"):
        check_params((several,), {"x": f"[1, {word}]"}, where="here")


@pytest.mark.parametrize("text", ["[" * 100_000, "[" + "9" * 5_000 + "]", "{", "", "nan"])
def test_what_is_not_json_at_all_says_so(text):
    with pytest.raises((ValueError, RecursionError)):
        read_json(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_record_never_has_such_a_number(number):
    with pytest.raises(ValueError, match="JSON"):
        journal.to_json({"x": [number]})
