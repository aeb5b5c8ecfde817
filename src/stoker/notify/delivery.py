"""Owns the ways in which a message leaves: each with a limit of time, none with a secret in a log.

Unavailable where one could not be delivered: it may be tried again. No message repeats an address with
a secret in it.
"""

import importlib
import logging
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from stoker.errors import StokerError, Unavailable, UserError
from stoker.model.notify import Mail, Messages, Notify, is_address
from stoker.model.words import shown
from stoker.spec.credentials import expanded, password_in

LIMIT_S = 30.0
COMMAND_S = 60.0
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A title in one line, and a text."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Post:
    """What delivering needs to know of the project. `hidden` are variables that no command gets."""

    messages: Messages
    folder: str
    hidden: Sequence[str] = field(default=())


def deliver(post: Post, notify: Notify, recipient: str, message: Message) -> None:
    """Everybody that the entry names, or the `recipient` it stands for, has the message.

    Unavailable, UserError or Refused if somebody has not.
    """
    if notify.command:
        _run(post, notify, message)
        return
    addresses, urls = _recipients(post, notify, recipient)
    if addresses:
        _mail(post.messages.mail, addresses, message)
    for number, url in enumerate(urls, start=1):
        _apprise(url, f"address {number} of `notify.{notify.name}`", message)


def _recipients(post: Post, notify: Notify, recipient: str) -> tuple[list[str], list[str]]:
    """Return the mail addresses and the Apprise URLs. From an item comes nothing but a mail address."""
    if notify.variable is not None:
        address = recipient
        if notify.variable == "by":
            address = post.messages.addresses.get(recipient, recipient)
        if not is_address(address):
            where = "; add it to `[addresses]`" if notify.variable == "by" else ""
            raise UserError(f"`{shown(recipient)[:60]}` is not a mail address{where}")
        return [address], []
    named = [post.messages.addresses.get(to, to) for to in notify.to]
    urls = [to for to in named if _URL.match(to)]
    return [to for to in named if to not in urls], urls


def _mail(mail: Mail, addresses: Sequence[str], message: Message) -> None:
    letter = EmailMessage()
    letter["Subject"] = " ".join(message.subject.split())
    letter["From"] = sender = mail.sender or f"stoker@{_own_name()}"
    letter["To"] = ", ".join(addresses)
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=_own_name())
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text)
    where = f"the mail server `{mail.host}:{mail.port}`"
    try:
        with _connected(mail) as server:
            refused = server.send_message(letter, from_addr=sender, to_addrs=list(addresses))
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(f"{where} did not take it: {_words(error)}") from None
    if refused:
        raise Unavailable(f"{where} refused {', '.join(f'`{one}`' for one in sorted(refused))}")


def _connected(mail: Mail) -> smtplib.SMTP:
    """Return a connection, encrypted where the server can; a password never goes out in the clear."""
    context = ssl.create_default_context()
    if mail.port == 465:
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            mail.host, mail.port, timeout=LIMIT_S, context=context
        )
        is_private = True
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=LIMIT_S)
        is_private = mail.host in _LOCAL
    try:
        server.ehlo()
        if mail.port != 465 and server.has_extn("starttls") and mail.host not in _LOCAL:
            server.starttls(context=context)
            server.ehlo()
            is_private = True
        if mail.user is not None:
            _log_in(server, mail, mail.user, is_private=is_private)
    except BaseException:
        server.close()
        raise
    return server


def _log_in(server: smtplib.SMTP, mail: Mail, user: str, *, is_private: bool) -> None:
    if not is_private:
        raise Unavailable(
            f"the mail server `{mail.host}:{mail.port}` offers no encryption, so that it gets no password"
        )
    file = mail.password_file
    server.login(user, password_in(file, of="`[mail]`") if file is not None else "")


def _own_name() -> str:
    return socket.gethostname() or "localhost"


def _words(error: BaseException) -> str:
    """Return what a server said, or the system."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return shown(f"{error.smtp_code} {' '.join(text.split())}"[:300])
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {', '.join(f'`{one}`' for one in sorted(error.recipients))}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(str(error)[:300] or type(error).__name__)


def _apprise(url: str, where: str, message: Message) -> None:
    try:
        apprise = importlib.import_module("apprise")
    except ImportError:
        raise UserError(
            f'{where} needs the library apprise; `pip install "stoker[notify]"`'
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would name the address
    sender = apprise.Apprise()
    if not sender.add(expanded(url, of=where)):
        raise UserError(f"{where} is not an address that Apprise knows")
    if not sender.notify(title=message.subject, body=message.text):
        raise Unavailable(f"{where} did not take the message")


def _run(post: Post, notify: Notify, message: Message) -> None:
    """The command has got the message on standard input, and ended with 0. It is killed if it does not."""
    env = {name: value for name, value in os.environ.items() if name not in post.hidden}
    where = f"the command of `notify.{notify.name}`"
    try:
        process = subprocess.Popen(
            notify.command,
            cwd=post.folder,
            env={**env, "STOKER_SUBJECT": message.subject},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(f"{where} cannot be started: {error.strerror}") from None
    try:
        _, said = process.communicate(f"{message.subject}\n\n{message.text}".encode(), COMMAND_S)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{where} did not end within {COMMAND_S:.0f} s") from None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        words = " ".join(said.decode("utf-8", "replace").split())[-200:]
        raise Unavailable(f"{where} ended with {process.returncode}: {shown(words)}")


def trouble_of(error: StokerError) -> str:
    """Return why a message could not be delivered, as it is recorded."""
    return shown(str(error))[:1000]
