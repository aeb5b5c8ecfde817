"""Messages of a project: sent by one service at a time, and by the verbs that end with a word.

No work waits for a message, and none is lost: what could not be delivered stays in its digest, shown by
`status`, and is tried again.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from stoker.errors import StokerError, StoreGone, Unavailable, UserError
from stoker.failpoints import hit
from stoker.model.notify import Notify
from stoker.model.settings import Settings
from stoker.notify.delivery import Message, Post, deliver, trouble_of
from stoker.project.opened import Opened
from stoker.store import journal_fold
from stoker.store.reports import asides, messages, overview
from stoker.store.reports.messages import Due
from stoker.work.patience import Patience
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from stoker.store.status_rows import NotifyStatus, Status
    from stoker.store.unit import Store

TICK_S = 5.0
SETTLE_S = 20.0  # from the first thing that happens to the first message about it
FOLD_LIMIT_S = 5.0
_log = logging.getLogger(__name__)


def send_due(store: "Store", settings: Settings, *, settle_s: float = SETTLE_S) -> None:
    """What is due was delivered, or the store says why not; nothing where another service does it."""
    targets = settings.messages.notify
    if not targets:
        return
    holder = f"{store.host}:{os.getpid()}"
    if not messages.hold(store, holder):
        return
    try:
        journal_fold.fold(store, limit_s=FOLD_LIMIT_S)
        while messages.read_on(store, targets):
            pass
        messages.note_state(store, targets, _own_troubles(store))
        for target in targets:
            for one in messages.due(store, target, settle_us=int(settle_s * 1_000_000)):
                if not messages.hold(store, holder):
                    return
                _send(store, settings, target, one)
    finally:
        messages.let_go(store, holder)


def write_from_now_on(store: "Store", settings: Settings) -> None:
    """The place in the journal is kept from which on messages are about what happens."""
    holder = f"{store.host}:{os.getpid()}"
    if settings.messages.notify and messages.hold(store, holder):
        messages.let_go(store, holder)


def _own_troubles(store: "Store") -> Mapping[str, str | None]:
    """Return what is wrong with the store itself."""
    from stoker.project.verbs.reading import store_trouble

    trouble = store_trouble(store)
    return {} if trouble is None else {trouble: None}


def _send(store: "Store", settings: Settings, target: Notify, one: Due) -> None:
    status = overview.status(store)
    left = {name: _left(status, name) for name in one.digest.pipelines}
    message = Message(subject=one.digest.subject(settings.name), text=one.digest.text(left))
    try:
        deliver(_post(settings), target, one.recipient, message)
    except StokerError as error:
        trouble = trouble_of(error)
        _log.warning(
            "a message could not be delivered",
            extra={"event": "message_failed", "notify": target.name, "error": trouble},
        )
        messages.note_failed(store, one, trouble)
    else:
        hit("message.delivered")
        messages.note_sent(store, one)


def _left(status: "Status", name: str) -> str:
    """Return what is still to do in a pipeline, and when it may be done."""
    of = status.pipelines.get(name)
    if of is None:
        return ""
    to_go = of.items["waiting"] + of.items["running"]
    if not to_go:
        return ""
    if of.eta_s is None:
        return f"{to_go:,} to go"
    at = time.strftime("%H:%M", time.localtime(time.time() + of.eta_s))
    day = time.strftime("%a ", time.localtime(time.time() + of.eta_s)) if of.eta_s > 43_200 else ""
    return f"{to_go:,} to go, done about {day}{at}"


def _post(settings: Settings) -> Post:
    return Post(settings.messages, settings.folder, settings.all_secrets)


class Notifier(Companion):
    """The service that sends messages; `settings` gives those of the file as it is now."""

    name = "messages"

    def __init__(
        self, store: "Store", settings: Callable[[], Settings], *, tick_s: float = TICK_S
    ) -> None:
        super().__init__()
        self._store = store
        self._settings = settings
        self._tick_s = tick_s
        self._outage = Patience()

    def health(self) -> str | None:
        """Return why messages have to wait just now."""
        return self._outage.trouble

    def stop(self) -> None:
        """The loop has ended, or is left to a delivery that hangs; another service may send."""
        self._over.set()
        self._join(within_s=2.0)

    def _run(self) -> None:
        wait_s = 0.0  # from its start on, what happens is written about
        while not self._over.wait(wait_s):
            wait_s = self._tick_s
            try:
                send_due(self._store, self._settings())
            except StoreGone:
                return
            except (StokerError, OSError) as error:
                if self._outage.is_news(str(error)):
                    _log.warning(
                        "messages have to wait",
                        extra={"event": "messages_wait", "error": str(error)},
                    )
            else:
                self._outage.end()


class Notifying:
    """`project.notify`: the entries of `[notify]`, and a message to try one with."""

    def __init__(self, project: Opened) -> None:
        self._project = project

    def list(self) -> "dict[str, NotifyStatus | None]":
        """Return how each entry of the file stands; None for one that had nothing to send yet."""
        from stoker.errors import NotFound

        try:
            with self._project.store.reading() as unit:
                found = asides.notifiers(unit)
        except NotFound:
            found = {}
        return {one.name: found.get(one.name) for one in self._entries}

    @property
    def _entries(self) -> tuple[Notify, ...]:
        return self._project.settings.messages.notify

    def entry(self, name: str) -> Notify:
        """Return the entry of that name; NotFound names those there are."""
        from stoker.errors import NotFound
        from stoker.spec.problems import suggest

        for one in self._entries:
            if one.name == name:
                return one
        hint = suggest(name, [one.name for one in self._entries]) or "the file has none"
        raise NotFound(f"`stoker.toml` has no `[notify.{name}]`; {hint}")

    def try_(self, name: str, *, to: str | None = None) -> None:
        """A test message was delivered. Unavailable if it was not, whatever the reason.

        `to` stands for the person or the parameter that the entry names.
        """
        entry = self.entry(name)
        recipient = to or ""
        if entry.variable == "by":
            recipient = to or self._project.user
        elif entry.variable is not None and to is None:
            raise UserError(f"`notify.{name}` writes to `{entry.to[0]}`; say to whom with `--to`")
        elif entry.variable is None and to is not None:
            raise UserError(f"`notify.{name}` has its own recipients; leave out `--to`")
        settings = self._project.settings
        message = Message(
            subject=f"[{settings.name}] a test message",
            text=f"`stoker notify try {name}` sent this. Messages of this entry reach you.\n",
        )
        try:
            deliver(_post(settings), entry, recipient, message)
        except StokerError as error:
            raise Unavailable(f"the message was not delivered: {error}") from None
