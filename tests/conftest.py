"""What holds for every test: Hypothesis has no sense of time, pytest's timeout is the limit.

It draws the same examples each time, so that a change is judged by itself; `make explore` draws others.

Database servers that tests have started end with them.

A test of real processes and servers that fails runs once more, in place; the summary lists it as RERUN.
"""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

import servers

settings.register_profile(
    "explore", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("stoker", settings.get_profile("explore"), derandomize=True)
settings.load_profile("stoker")


# Tests of one row run in one process, one after another: what they start is there only once.
_ROWS = {
    "tests/batch/test_slurm.py": "cluster",
    "tests/batch/test_pilots.py": "cluster",
    "tests/batch/test_slurm_accounts.py": "cluster",
    "tests/batch/test_satellite.py": "cluster",
    "tests/batch/test_edelweiss.py": "cluster",
    "tests/batch/test_chaos.py": "cluster",
    "tests/batch/test_gridengine.py": "cluster",
    "tests/batch/test_grid_pilots.py": "cluster",
    "tests/integration/web/test_pages.py": "browser",
    "tests/integration/web/test_panel_in_a_browser.py": "browser",
    "tests/docs/test_evening.py": "browser",
}


# What these find depends on clocks, other processes and a server's plans; of a broken promise that a
# chaos found, once is enough.
_REAL = ("batch", "docs", "faults", "integration", "store", "upgrade")
_NO_SECOND_CHANCE = "test_chaos.py"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that fails by itself fails again; one that fails beside others is reported, not hidden."""
    tests = config.rootpath / "tests"
    for item in items:
        inside = item.path.relative_to(tests) if item.path.is_relative_to(tests) else item.path
        if inside.parts[0] in _REAL and item.path.name != _NO_SECOND_CHANCE:
            item.add_marker(pytest.mark.flaky(reruns=1))


class Scheduling(LoadScopeScheduling):
    """Gives the next test to whichever process has time, and a row as a whole, the longest first.

    xdist's own marks for that have no effect with this release of pytest.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _ROWS.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """How `make test` shares the tests out: `--dist loadgroup`."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadgroup" else None


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
