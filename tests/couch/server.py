"""Servers of CouchDB's protocol, of what `requirements/servers` has installed."""

import hashlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx

import servers

HERE = Path(__file__).parent


def modules() -> Path:
    """Where the server's modules are installed, if they are."""
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stoker-tests" / f"couch-{lock}"


class Couch(servers.Server):
    """One server on a port of its own. It keeps its documents when it is killed."""

    kind, account, stop_signal = "couch", "root", signal.SIGTERM

    def __init__(self, *, user: str = "", password: str = "") -> None:
        if not modules().is_dir() or shutil.which("node") is None:
            servers.unavailable(
                "no server of CouchDB's protocol is installed; `requirements/servers` does it"
            )
        self._account = (user, password)
        self.http = httpx.Client(auth=self._account if user else None, trust_env=False, timeout=60)
        super().__init__()

    def _prepare(self) -> None:
        """It needs no preparation."""

    def _command(self) -> list[str]:
        settings = {
            "COUCH_MODULES": str(modules()),
            "COUCH_USER": self._account[0],
            "COUCH_PASSWORD": self._account[1],
        }
        given = [f"{name}={value}" for name, value in settings.items()]
        return ["env", *given, "node", str(HERE / "server.js"), str(self.port), str(self.folder)]

    def is_up(self) -> bool:
        try:
            return self.http.get(self.url("")).is_success
        except httpx.TransportError:
            return False

    def url(self, database: str) -> str:
        return f"http://127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self.http.close()
        super().close()

    def make(self, database: str) -> str:
        """The URL of a new database."""
        self.http.put(self.url(database)).raise_for_status()
        return self.url(database)

    def put(self, database: str, *documents: dict[str, Any]) -> None:
        """The documents are there; each has its `_id`, and its `_rev` if it was there before."""
        answer = self.http.post(self.url(f"{database}/_bulk_docs"), json={"docs": documents})
        assert all("error" not in row for row in answer.raise_for_status().json()), answer.text

    def get(self, database: str, name: str, **query: str) -> dict[str, Any]:
        """The document of that name."""
        return self.http.get(self.url(f"{database}/{name}"), params=query).raise_for_status().json()

    def edit(self, database: str, name: str, **fields: Any) -> None:
        """The document has these fields too, whoever writes to it meanwhile."""
        until_s = time.monotonic() + 60
        while True:
            document = self.get(database, name) | fields
            answer = self.http.put(self.url(f"{database}/{name}"), json=document)
            if answer.status_code != 409:
                answer.raise_for_status()
                return
            assert time.monotonic() < until_s, "conflict after conflict"

    def replicate(self, source: str, target: str) -> None:
        """What comes to the database at `source` comes to the one at `target`, from now on."""
        document = {"source": source, "target": target, "continuous": True}
        self.http.post(self.url("_replicate"), json=document).raise_for_status()
