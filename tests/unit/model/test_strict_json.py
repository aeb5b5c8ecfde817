"""Numbers that JSON does not have, at each place where JSON comes in or goes out."""

import json
import math

import pytest

from stoker.errors import UserError
from stoker.intake.admission import _meta_of
from stoker.model.encoding import as_text
from stoker.model.pipeline import Param, ParamType
from stoker.model.strict_json import MOST_LEVELS, read_json
from stoker.spec.condition import Condition
from stoker.spec.params import check_params
from stoker.store import journal
from stoker.web.ogc.results import _as_value
from stoker.work.answers import BadAnswer, read_values
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
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_what_nests_deeper_than_conditions_can_follow_is_refused(opening, closing, seat):
    def nested(levels):
        n = levels // (opening.count("[") + opening.count("{"))
        return '{"x":' + opening * n + "1" + closing * n + "}"

    values = read_json(nested(MOST_LEVELS - 2))
    assert not Condition("values.s.x == 1").holds(params={}, meta={}, values={"s": values})
    for levels in (MOST_LEVELS + 2, 900, 5_000):
        with open(seat.values, "w") as file:
            file.write(nested(levels))
        with pytest.raises(BadAnswer, match="inside one another more than 100 times"):
            read_values(seat)
        with pytest.raises(UserError, match="inside one another"):
            _meta_of(nested(levels))
        assert "base64" in _as_value(nested(levels).encode(), "application/json").values()
    read_json(nested(900), is_bounded=False)


def test_a_number_of_too_many_digits_is_reported_in_words():
    with pytest.raises(ValueError, match=r"^a whole number has more than 4,300 digits$"):
        read_json('{"x": ' + "9" * 5_000 + "}")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_the_record_never_has_such_a_number(number):
    with pytest.raises(ValueError, match="JSON"):
        journal.to_json({"x": [number]})
