"""What holds for every test: Hypothesis has no sense of time, pytest's timeout is the limit.

It draws the same examples each time, so that a change is judged by itself; `make explore` draws others.

Database servers that tests have started end with them.
"""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import servers

settings.register_profile(
    "explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("stoker", settings.get_profile("explore"), derandomize=True)
settings.load_profile("stoker")


@pytest.fixture(scope="session", autouse=True)
def no_server_is_left() -> Iterator[None]:
    """None of this process's servers is left."""
    yield
    servers.close_all()


def pytest_configure() -> None:
    """What the tests start hears of a hang-up or an interrupt, also where they run in the background."""
    for number, usual in (
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGINT, signal.default_int_handler),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
