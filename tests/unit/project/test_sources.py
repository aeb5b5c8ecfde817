"""What the sources of a pipeline hold now, taken in once."""

from types import SimpleNamespace

from stoker.intake.sources.source import Standing
from stoker.project.sources import _take_settled
from stoker.store.arrivals.counts import Registered


def test_what_this_call_registered_is_not_known_from_before():
    """Five are there, one is taken at the first look, another has yet to settle."""
    looks = [(Registered(registered=1, known=5), 1), (Registered(registered=1, known=6), 0)]
    source = SimpleNamespace(standing=Standing(), name="data")

    def take():
        done, pending = looks.pop(0)
        source.standing = Standing(pending=pending)
        return done

    taker = SimpleNamespace(take=take, source=source, is_full=False, trouble=None)
    done = _take_settled(taker, 0.001, None)
    assert (done.registered, done.known) == (2, 5)
