"""The wall clock jumps while workers share a store: nothing is done twice, and the work goes on."""

import pytest

from faults import check

STEP = """
[pipelines.p.steps.s]
run = '''
LIFE
live 12
tick end
'''
"""
HOUR_S = 3600


@pytest.mark.parametrize("jumps", [(HOUR_S, -HOUR_S), (-HOUR_S, 0)])
def test_a_clock_that_jumps_doubles_nothing(site, jumps):
    """On SQLite the store's clock is the host's; a server's is its own, whatever hosts have."""
    site.set_clock(0)
    site.write(STEP)
    site.apply()
    site.push(*"abcdef")
    clock = str(site.clock)
    workers = [site.start("work", "--drain", "--slots", "1", clock=clock) for _ in range(2)]
    for number, wrong_by_s in enumerate(jumps, start=1):
        site.wait(lambda n=number: len(check.read_ledger(site.folder)) >= 2 * n, "attempts run")
        site.set_clock(wrong_by_s)
    for one in workers:
        assert site.end(one) == 0, site.dump()
    site.hold()
