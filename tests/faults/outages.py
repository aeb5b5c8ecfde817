"""What happens to the database server under a store: outages, broken connections, crowds, long readers.

An outage begins as a fault and ends by `tick`, so that other faults happen meanwhile.
"""

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import psutil

import servers
from stoker.store.dialects import dialect_for

MOST_READERS = 2
CONNECTIONS = 40  # few, so that a crowd is quickly there
DISK_MB = 240


class Outages:
    """The faults of one server; `url` leads to the store's database."""

    def __init__(self, kind: str, choices: random.Random) -> None:
        self.server = servers.require(kind)(connections=CONNECTIONS, disk_mb=DISK_MB)
        self.url = self.server.new_database("chaos")
        self.random = choices
        self.driver_errors = dialect_for(self.url).driver_errors
        self.is_frozen = False
        self._ends: list[tuple[float, Callable[[], object]]] = []
        self._readers = 0
        self.faults: list[tuple[int, Callable[[], bool], str]] = [
            (2, self.kill, "server killed and started"),
            (1, self.stop, "server stopped and started"),
            (2, self.freeze, "server frozen"),
            (2, self.freeze_listener, "server takes no new connections"),
            (6, self._asked(self.terminate), "connections terminated"),
            (4, self._asked(self.read_long), "long readers"),
            (3, self._asked(self.crowd), "connection table full"),
            (3, self._asked(self.lock), "rows locked"),
        ]

    # ------------------------------------------------------------------------------------ its course

    def tick(self) -> None:
        """What has lasted long enough ends; a server that ended by itself, its disk full, is started."""
        now_s = time.monotonic()
        for one in [one for one in self._ends if one[0] <= now_s]:
            self._ends.remove(one)
            one[1]()
        if not self.server.is_running and not self.is_away:
            self.server.start()

    def end(self) -> None:
        """The server answers, and nobody else is connected."""
        self._ends = [(0.0, end) for _, end in self._ends]
        self.tick()

    def close(self) -> None:
        """The server is gone."""
        for process in self.server.processes():
            _signal(process, signal.SIGCONT)
        self.server.close()

    @property
    def is_away(self) -> bool:
        """Whether it does not answer now, and will by itself."""
        return self.is_frozen or any(end == self.start for _, end in self._ends)

    def _later(self, end: Callable[[], object], after_s: float) -> None:
        self._ends.append((time.monotonic() + after_s, end))

    # --------------------------------------------------------------------------------------- outages

    def kill(self) -> bool:
        """It dies as by a power cut, and is started again."""
        return self._down(self.server.kill)

    def stop(self) -> bool:
        """It is stopped in order, and started again."""
        return self._down(self.server.stop)

    def _down(self, bring_down: Callable[[], None]) -> bool:
        if self.is_away:
            return False
        bring_down()
        self._later(self.start, self.random.uniform(0.1, 5))
        return True

    def start(self) -> None:
        """It answers again."""
        self.server.start()

    def freeze(self) -> bool:
        """None of its processes does anything for a while; their connections stay open."""
        return self._freeze(self.server.processes())

    def freeze_listener(self) -> bool:
        """It takes no new connections, and still serves those that it has if it has processes for them."""
        return self._freeze(self.server.processes()[:1])

    def _freeze(self, processes: list[psutil.Process]) -> bool:
        if self.is_away:
            return False
        for process in processes:
            _signal(process, signal.SIGSTOP)
        self.is_frozen = True
        self._later(self._thaw, self.random.uniform(0.1, 5))
        return True

    def _thaw(self) -> None:
        self.is_frozen = False
        for process in self.server.processes():
            _signal(process, signal.SIGCONT)

    # ----------------------------------------------------------------------------------- connections

    def terminate(self) -> bool:
        """Its administrator ends a few connections, whatever they are at."""
        with closing(self._connect()) as admin, closing(admin.cursor()) as cursor:
            cursor.execute(self.server.sessions.format("chaos"))
            found = [row[0] for row in cursor.fetchall()]
            for number in self.random.sample(found, min(len(found), self.random.randint(1, 4))):
                with suppress(*self.driver_errors):  # it has ended already
                    cursor.execute(self.server.end_session.format(number))
            return bool(found)

    def crowd(self) -> bool:
        """Others take every connection that the server has to give, for a while."""
        taken: list[Any] = []
        with suppress(*self.driver_errors):  # until it has no more, which is kept
            taken.extend(self._connect() for _ in range(2 * CONNECTIONS))
        self._later(lambda: _close(taken), self.random.uniform(0.3, 5))
        return bool(taken)

    # ---------------------------------------------------------------------------------- transactions

    def read_long(self) -> bool:
        """Somebody's report keeps a transaction open for minutes."""
        if self._readers >= MOST_READERS:
            return False
        reader = self._connect()
        with closing(reader.cursor()) as cursor:
            cursor.execute(self.server.begin_reading)
            cursor.execute("SELECT count(*) FROM task")
        self._readers += 1
        self._later(lambda: self._let_go(reader), self.random.uniform(30, 180))
        return True

    def _let_go(self, reader: Any) -> None:
        self._readers -= 1
        _close([reader])

    def lock(self) -> bool:
        """Somebody locks every task, and looks at them for a moment."""
        with closing(self._connect()) as other, closing(other.cursor()) as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute("SELECT id FROM task FOR UPDATE")
            time.sleep(self.random.uniform(0.1, 1.5))
            cursor.execute("ROLLBACK")
        return True

    # ----------------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        return self.server.connect("chaos")

    def _asked(self, fault: Callable[[], bool]) -> Callable[[], bool]:
        """Return a fault that does not happen where the server cannot be asked for it just now."""

        def ask() -> bool:
            if self.is_away:
                return False
            try:
                return fault()
            except self.driver_errors:
                return False

        return ask


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _close(connections: list[Any]) -> None:
    for connection in connections:
        with suppress(Exception):  # the server may have ended it, or be gone
            connection.close()
