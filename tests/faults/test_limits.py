"""Items that kill their workers, and attempts that take more memory than they may."""

import pytest

from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import failures, tables


def ends(site) -> list[str]:
    attempt = tables.attempt
    rows = site.scene().rows(attempt.select().order_by(attempt.c.number))
    return [AttemptState(row.state).word for row in rows]


def test_an_item_that_kills_its_workers_is_stopped_and_named(site):
    site.write("""
    [pipelines.p.steps.s]
    run = '''
    LIFE
    tick start
    test {key} = good || kill -9 $PPID
    '''
    """)
    site.apply()
    site.push("poison")
    site.run(code=1)
    assert ends(site) == ["lost"] * 3
    (row,) = failures.failures(site.store, Selection())
    assert (row.n, row.step, row.examples) == (1, "s", ("poison",))
    assert "died or lost its lease" in row.cause
    site.hold(may_fail=True)


@pytest.mark.parametrize(
    ("memory", "expected"),
    [('"64M"', ["out_of_memory"]), ('["64M", "1G"]', ["out_of_memory", "succeeded"])],
    ids=["one level", "escalating"],
)
def test_memory_over_the_limit_ends_the_attempt_and_the_next_may_have_more(site, memory, expected):
    site.write(f"""
    [pipelines.p.steps.s]
    memory = {memory}
    retries = {len(expected) - 1}
    backoff = "0s"
    argv = ["python3", "-c", "import time; b = bytearray(200_000_000); time.sleep(1.5)"]
    """)
    site.apply()
    site.push("k")
    site.run(code=0 if expected[-1] == "succeeded" else 1)
    assert ends(site) == expected
    site.hold(may_fail=True)
