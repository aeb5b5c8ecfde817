"""Messages of the file: from its keys to the model, with what is wrong with them reported."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stoker.model.hours import parse_hours
from stoker.model.notify import Mail, Messages, Notify, is_address
from stoker.spec.address import REFERENCE
from stoker.spec.locations import absolute
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stoker.model.pipeline import Pipeline
    from stoker.spec.notify_keys import MailTable, NotifyTable
    from stoker.spec.validate import Findings

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@")


def build_messages(
    notify: Mapping[str, NotifyTable],
    addresses: Mapping[str, str],
    mail: MailTable,
    *,
    folder: str,
    findings: Findings,
) -> Messages:
    """Return what the file says of messages."""
    return Messages(
        notify=tuple(
            _build(name, table, addresses, folder=folder, findings=findings)
            for name, table in notify.items()
        ),
        addresses=dict(addresses),
        mail=_mail(mail, folder, findings),
    )


def _build(
    name: str,
    table: NotifyTable,
    addresses: Mapping[str, str],
    *,
    folder: str,
    findings: Findings,
) -> Notify:
    place = ("notify", name)
    if bool(table.to) == bool(table.command) and not findings.has(place):
        what = "has both `to` and `command`" if table.to else "has nobody to write to"
        findings.add(
            place, f"`notify.{name}` {what}", 'write `to = "lab@example.org"`, or a `command`'
        )
    for index, to in enumerate(table.to):
        at = (*place, "to", index) if findings.is_at((*place, "to", index)) else (*place, "to")
        _check_recipient(to, table, addresses, at, findings)
    hours = None
    try:
        hours = None if table.between is None else parse_hours(table.between, None)
    except ValueError as error:
        findings.add((*place, "between"), str(error))
    command = list(table.command or ())
    if command and "/" in command[0]:
        command[0] = absolute(command[0], folder)
    return Notify(
        name=name,
        to=tuple(table.to),
        command=tuple(command),
        on=frozenset(table.on),
        every_s=table.every,
        hours=hours,
        pipelines=tuple(table.pipelines),
    )


def _check_recipient(
    to: str,
    table: NotifyTable,
    addresses: Mapping[str, str],
    at: tuple[str | int, ...],
    findings: Findings,
) -> None:
    if to.startswith("{"):
        if re.fullmatch(r"\{(by|params\.[a-z][a-z0-9_]*)\}", to) is None:
            findings.add(at, f"`{to}` names nobody", "write `{by}` or `{params.NAME}`")
        elif len(table.to) > 1:
            findings.add(at, f"`{to}` stands alone", "make another `[notify.NAME]` for the others")
    elif _URL.match(to):
        if _PASSWORD.search(to):
            findings.add(
                at, "a password is in the file", "write `${NAME}` for it, and set that variable"
            )
    elif "@" in to:
        if not is_address(to):
            findings.add(at, f"`{to}` is not a mail address")
    elif to not in addresses:
        hint = suggest(to, addresses) or f'add it: `[addresses]` with `{to} = "…@…"`'
        findings.add(at, f"`[addresses]` has no `{to}`", hint)


def _mail(table: MailTable, folder: str, findings: Findings) -> Mail:
    host, _, port = (
        table.server.rpartition(":") if ":" in table.server else (table.server, "", "25")
    )
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        findings.add(("mail", "server"), f"`{table.server}` is not a server", "write `HOST:PORT`")
        host, port = "localhost", "25"
    password = table.password_file
    return Mail(
        host=host,
        port=int(port),
        sender=table.sender,
        user=table.user,
        password_file=None if password is None else absolute(password, folder),
    )


def secrets_of(messages: Messages) -> list[str]:
    """Return the variables that addresses are made of: no step gets to see them."""
    return [name for one in messages.notify for to in one.to for name in REFERENCE.findall(to)]


def check_messages(
    messages: Messages,
    pipelines: Mapping[str, Pipeline],
    known: Collection[str],
    findings: Findings,
) -> None:
    """Report pipelines that are not there, and parameters that they do not have.

    `known` are the names of all, broken ones too.
    """
    for one in messages.notify:
        for index, name in enumerate(one.pipelines):
            if name not in known:
                place = ("notify", one.name, "pipelines", index)
                findings.add(place, f"there is no pipeline `{name}`", suggest(name, list(known)))
        variable = one.variable
        if variable is None or variable == "by":
            continue
        param = variable.partition(".")[2]
        for name in one.pipelines or pipelines:
            of = pipelines.get(name)
            if of is not None and param not in [param.name for param in of.params]:
                findings.add(
                    ("notify", one.name, "to"),
                    f"pipeline `{name}` has no parameter `{param}`",
                    "name the pipelines that have it in `pipelines`",
                )
