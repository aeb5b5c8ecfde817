"""The keys of messages: who gets which, and how they are sent."""

from typing import Annotated, Literal

from pydantic import Field

from stoker.model.hours import PATTERN as HOURS_PATTERN
from stoker.spec.shapes import Name, Table, Texts, Time, explained

EventWord = Literal["done", "failed", "trouble"]
_ADDRESS = r"^[^\s@<>,;:\"]+@[^\s@<>,;:\"]+$"


class NotifyTable(Table):
    """Messages: their recipients, their subjects, and how often they are sent."""

    to: Texts = explained(
        "The recipients: a mail address, a name from `[addresses]`, an Apprise URL, `{by}` or "
        "`{params.x}`; or a list of these.",
        "`{by}` writes to each person who registered items, about their own items only; `{params.x}` to "
        "an address that came with the item.",
        default=[],
        example=["lab@example.org"],
        absent="required, or else `command`",
    )
    command: list[str] | None = explained(
        "A command that delivers the message.",
        "It gets the message on standard input, and is used instead of `to`.",
        example=["./page.sh"],
    )
    on: list[EventWord] = explained(
        "The events that cause a message.",
        "`done`: a pipeline has nothing left to do. `failed`: a task has failed for good. `trouble`: a "
        "source, worker, batch system, site or disk needs a person.",
        default=["done", "failed", "trouble"],
        example=["failed", "trouble"],
    )
    every: Annotated[Time, Field(gt=0)] = explained(
        "The shortest time between two messages.",
        "Everything that happens within it comes as one message.",
        default=900.0,
        example="1h",
    )
    between: str | None = explained(
        "The hours of the day within which messages are sent.",
        "What happens at other hours comes with the next message.",
        example="07:00-22:00",
        absent="at any time",
        pattern=HOURS_PATTERN,
    )
    pipelines: list[Name] = explained(
        "The pipelines that messages are about.",
        "Events of others cause no message.",
        default=[],
        example=["spikes"],
        absent="all pipelines",
    )


class MailTable(Table):
    """The server that takes mail."""

    server: str = explained(
        "Host and port of the SMTP server.",
        "All mail goes there. A password is sent only over an encrypted connection, or to this host.",
        default="localhost:25",
        example="smtp.example.org:587",
    )
    sender: str | None = explained(
        "The address that mail comes from.",
        "Replies and bounces go there.",
        example="stoker@example.org",
        absent="`stoker@` and the host's name",
        pattern=_ADDRESS,
    )
    user: str | None = explained(
        "The account at the server.",
        "Stoker signs in with it and the password.",
        example="stoker",
        absent="no signing in",
    )
    password_file: str | None = explained(
        "A file whose first line is the account's password.",
        "It is refused if others may read it.",
        example="/etc/stoker/mail",
    )


Address = Annotated[str, Field(pattern=_ADDRESS)]
