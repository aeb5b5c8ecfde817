"""Gates of pools: hours, and how many may begin in a minute."""

import pytest

from stoker.model.gate import Gate, Turnstile


@pytest.mark.parametrize("per_minute", [None, 1, 2, 3, 10])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 6, 7, 10, 11, 20, 21])
def test_the_last_of_many_begins_when_a_turnstile_lets_it(per_minute, n):
    gate = Gate(per_minute=per_minute)
    turnstile, now_s = Turnstile(gate), 0.0
    for _ in range(n):
        now_s = (
            turnstile.opens_s(now_s) if per_minute is None else max(now_s, turnstile.opens_s(now_s))
        )
        turnstile.begin(now_s)
    assert gate.turns_s(n) == now_s
