"""Services start and stop in order, and the error of one that dies reaches the caller."""

import pytest

from stoker.errors import Bug
from stoker.project.services.service import Services, running
from stoker.work.threads import Companion


class Odd(Exception):
    """Nobody expects this one."""


class Row:
    """A service that notes in `log` what happens to it; `fails` is what it cannot do."""

    def __init__(self, name, log, fails=""):
        self.name, self._log, self._fails = name, log, fails

    def _do(self, verb):
        if verb == self._fails:
            raise Odd(f"{self.name} cannot {verb}")
        self._log.append(f"{verb} {self.name}")

    def start(self, on_failure):
        self._do("start")

    def stop(self):
        self._do("stop")

    def health(self):
        return "it waits" if self._fails else None


class Worker:
    """A foreground that works until a service has failed, if it is to wait for that."""

    name = "worker"

    def __init__(self, log, waits_for=None):
        self._log, self._waits_for, self._problem = log, waits_for, None

    def work(self):
        if self._waits_for is not None:
            self._waits_for.join(10)
        self._log.append("work")
        if self._problem is not None:
            raise Bug(str(self._problem)) from self._problem
        return "done"

    def fail(self, problem):
        self._problem = problem

    def health(self):
        return None


class Dying(Companion):
    """A loop that meets what it cannot handle."""

    name = "dying"

    def join(self, within_s):
        self._join(within_s)

    def _run(self):
        raise Odd("as never before")


def test_rows_start_in_order_and_stop_in_the_opposite_order():
    log = []
    services = Services([Row("a", log), Row("b", log)], Worker(log))
    assert services.run() == "done"
    assert log == ["start a", "start b", "work", "stop b", "stop a"]


def test_where_one_cannot_start_those_before_it_are_stopped_and_nothing_works():
    log = []
    with pytest.raises(Odd, match="b cannot start"):
        Services([Row("a", log), Row("b", log, "start"), Row("c", log)], Worker(log)).run()
    assert log == ["start a", "stop a"]


def test_where_one_fails_to_stop_the_others_are_stopped_nevertheless():
    log = []
    with (
        pytest.raises(Odd, match="b cannot stop"),
        running([Row("a", log), Row("b", log, "stop")], on_failure=pytest.fail),
    ):
        pass
    assert log == ["start a", "start b", "stop a"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_dies_ends_the_work_in_order_and_its_error_reaches_the_caller():
    log, dying = [], Dying()
    with pytest.raises(Bug, match="as never before") as found:
        Services([Row("a", log), dying, Row("b", log)], Worker(log, dying)).run()
    assert isinstance(found.value.__cause__, Odd)
    assert log == ["start a", "start b", "work", "stop b", "stop a"]


def test_the_health_of_all_is_known_by_name():
    rows = [Row("a", []), Row("b", [], "stop")]
    assert Services(rows, Worker([])).health() == {"a": None, "b": "it waits", "worker": None}
