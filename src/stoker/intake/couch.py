"""A database of CouchDB's protocol: reading its changes, reading and writing its documents.

Nothing here shows the account: messages name the URL without it.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx

from stoker.errors import Refused, UserError
from stoker.intake.sources.source import Over
from stoker.model.strict_json import read_json
from stoker.spec.credentials import expanded, password_in

HEARTBEAT_S = 1.0  # in which the server says that it is there, and we look whether to go on waiting
BACK_OFF_S = (1.0, 60.0)  # after the first failure; at most
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_BEGINNING = b'{"results":['

Since = str | int


class FeedTrouble(UserError):
    """The database did not do what it was asked; `may_pass` if it may, asked again."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class BackOff:
    """How long to wait after a failure: twice as long after each, until something has worked."""

    def __init__(self) -> None:
        self.wait_s = 0.0

    def failed(self) -> None:
        """It did not work."""
        first_s, most_s = BACK_OFF_S
        self.wait_s = min(most_s, max(first_s, 2 * self.wait_s))

    def worked(self) -> None:
        """It worked."""
        self.wait_s = 0.0


class Change(NamedTuple):
    """A document that was changed; None in place of one that was deleted."""

    id: str
    document: dict[str, Any] | None


class Couch:
    """One database, reached when it is first asked. `url` is what messages call it."""

    def __init__(self, url: str, *, password_file: str | None = None) -> None:
        scheme, _, rest = url.partition("://")
        self._account, _, place = rest.rpartition("@")
        self.url = f"{scheme}://{place}".rstrip("/")
        self._client: httpx.Client | None = None
        self._password_file = password_file

    def close(self) -> None:
        """Close the connections. Asked again, it opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def newest(self) -> Since:
        """Return the number of the newest change."""
        found: Since = self._ask("GET", "").get("update_seq", 0)
        return found

    def changes(self, since: Since, *, limit: int) -> tuple[list[Change], Since]:
        """Return the next changes after `since`, oldest first, and where the next call begins."""
        query = {"since": str(since), "limit": str(limit), "include_docs": "true"}
        answer = self._ask("GET", "/_changes", params=query)
        try:
            rows = [
                Change(row["id"], None if row.get("deleted") else row["doc"])
                for row in answer["results"]
            ]
            return rows, answer["last_seq"]
        except (KeyError, TypeError):
            raise self._no_couch() from None

    def await_change(self, since: Since, over: Over, *, limit_s: float) -> None:
        """Return when there is a change after `since`, the end has come, or `limit_s` has passed.

        The connection may be lost meanwhile: then asking shows what is the matter.
        """
        query = {
            "feed": "longpoll",
            "since": str(since),
            "limit": "1",
            "heartbeat": str(int(HEARTBEAT_S * 1000)),
        }
        until_s = time.monotonic() + limit_s
        said = b""
        with self._asking(), self._open().stream("GET", "/_changes", params=query) as answer:
            answer.raise_for_status()
            for block in answer.iter_raw():
                said = (said + block).replace(b" ", b"").strip()
                if not _BEGINNING.startswith(said) or over or time.monotonic() >= until_s:
                    return

    def documents(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return those of these documents that are there, by their ids."""
        answer = self._ask(
            "POST", "/_all_docs", params={"include_docs": "true"}, content={"keys": list(ids)}
        )
        try:
            return {row["id"]: row["doc"] for row in answer["rows"] if row.get("doc")}
        except (KeyError, TypeError):
            raise self._no_couch() from None

    def write(self, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Write the documents over the revisions that they name; return what could not be, and why.

        The reason is `conflict` where somebody has written to one since.
        """
        answer = self._ask("POST", "/_bulk_docs", content={"docs": list(documents)})
        try:
            return {row["id"]: _reason(row) for row in answer if "error" in row}
        except (KeyError, TypeError):
            raise self._no_couch() from None

    # -------------------------------------------------------------------------------------- asking

    def _new_client(self) -> httpx.Client:
        user, _, password = self._account.partition(":")
        user = unquote(expanded(user, of="the feed's URL"))
        password = expanded(password, of="the feed's URL")
        if self._password_file is not None:
            password = password_in(self._password_file, of="the feed")
        return httpx.Client(
            base_url=expanded(self.url, of="the feed's URL"),
            auth=(user, password) if user else None,
            timeout=_TIMEOUT,
            headers={"Accept": "application/json"},
        )

    def _open(self) -> httpx.Client:
        if self._client is None:
            try:
                self._client = self._new_client()
            except (UserError, Refused) as error:
                raise FeedTrouble(str(error), may_pass=False) from None
        return self._client

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> Any:
        with self._asking():
            answer = self._open().request(method, path, params=params, json=content)
            answer.raise_for_status()
        try:
            return read_json(answer.content, is_bounded=False)
        except ValueError as error:
            raise self._no_couch(f": {error}") from None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Tell what goes wrong in the block in words, without the account."""
        try:
            yield
        except httpx.HTTPStatusError as error:
            raise self._refused(error.response) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.close()  # a connection that failed once is not used again
            words = str(error) or type(error).__name__
            raise FeedTrouble(f"`{self.url}` does not answer: {words}") from None

    def _refused(self, answer: httpx.Response) -> FeedTrouble:
        code = answer.status_code
        if code in (401, 403):
            user = self._account.partition(":")[0]
            who = f"as `{user}`" if user else "without an account"
            return FeedTrouble(
                f"`{self.url}` does not let us in {who} ({code}); put the account or the password "
                "right",
                may_pass=False,
            )
        if code == 404:
            return FeedTrouble(
                f"`{self.url}` has no such database; make it, or put the URL right", may_pass=False
            )
        return FeedTrouble(f"`{self.url}` answers {code} {answer.reason_phrase}")

    def _no_couch(self, how: str = "") -> FeedTrouble:
        return FeedTrouble(f"`{self.url}` does not answer as CouchDB does{how}", may_pass=False)


def number_of(since: Since) -> int:
    """Return the number that a place in the feed begins with, as `12-g1AAAA…` does."""
    digits = re.match(r"\d*", str(since))
    return int(digits[0] or 0) if digits else 0


def _reason(row: Mapping[str, Any]) -> str:
    if row["error"] == "conflict" or row.get("status") == 409:
        return "conflict"
    return f"{row['error']}: {row.get('reason', '')}"
