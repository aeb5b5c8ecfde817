"""The keys of the web service: of the service as a whole, and of what a pipeline offers."""

from typing import Annotated, Any, Literal

from pydantic import Field

from stoker.model import bounds
from stoker.model.web import REFERENCE
from stoker.spec.shapes import Size, Table, Time, explained, within


class WebTable(Table):
    """The web service as a whole: its address, and the proxies and sites that it trusts."""

    url: str | None = explained(
        "The address that users see.",
        "Every link, redirect and cookie follows it.",
        example="https://lab.example.org/stoker/",
        absent="the address at which the service listens",
    )
    origins: list[str] = explained(
        "Other web sites whose pages may call the service.",
        "Browsers let scripts of these sites read its answers (CORS).",
        default=[],
        example=["https://lab.example.org"],
    )
    anonymous: Literal["viewer"] | None = explained(
        "The role of people who have not signed in.",
        'With `"viewer"` they may look at everything and change nothing.',
        example="viewer",
        absent="they must sign in",
    )
    user_header: str | None = explained(
        "The header in which a proxy passes the name of the user who has signed in there.",
        "Stoker believes it from `trusted_proxies` only.",
        example="X-Remote-User",
    )
    trusted_proxies: list[str] = explained(
        "Addresses or networks of proxies in front of the service.",
        "`user_header` and `X-Forwarded-*` are believed from these only.",
        default=[],
        example=["127.0.0.1"],
    )
    outbound: list[str] = explained(
        "Hosts that the service may connect to, as names or globs.",
        "`href` inputs are fetched only from these hosts. Callbacks go to public addresses, and to "
        "private ones only if they are listed here.",
        default=[],
        example=["*.ebi.ac.uk", "lims.lab"],
    )
    uploads: str | None = explained(
        "The folder for uploaded files.",
        "All workers must see it at the same path.",
        example="/shared/uploads",
        absent="`.stoker/uploads`",
    )


class PipelineWebTable(Table):
    """What a pipeline offers over HTTP; the limits are those of each client."""

    public: bool = explained(
        "Whether anyone may submit items.",
        "If true, no sign-in is needed, and each client sees only its own items.",
        default=False,
        example=True,
    )
    wait: Annotated[Time, Field(gt=0, le=bounds.WAIT_S.most)] | None = explained(
        "How long a client may wait for the result in its request.",
        "The client gets the result if it is ready by then, and otherwise the job's address.",
        example="10s",
        absent="no waiting: a client gets the job's address at once",
    )
    example: dict[str, Any] = explained(
        "A good request: parameters, and `item` for the file.",
        "The form and the documents of the service show it.",
        default={},
        example={"item": "examples/globin.fasta", "evalue": 1e-5},
    )
    max_open: Annotated[int, within(bounds.OPEN_ITEMS)] | None = explained(
        "How many items of one client may be waiting, held or running.",
        "Beyond that its requests are answered with 429.",
        example=5,
        absent="no limit",
    )
    per_minute: Annotated[int, within(bounds.PER_MINUTE)] | None = explained(
        "How many items one client may submit in a minute.",
        "Beyond that its requests are answered with 429 and `Retry-After`.",
        example=30,
        absent="no limit",
    )
    max_upload: Annotated[Size, Field(gt=0)] | None = explained(
        "The largest file that a client may upload.",
        "A larger one is answered with 413.",
        example="50M",
        absent="no limit",
    )
    keep: Annotated[Time, Field(gt=0)] | None = explained(
        "How long submitted items are kept after their end.",
        "After it the item, its uploads and its results are deleted.",
        example="14d",
        absent="kept for ever",
    )


Reference = Annotated[str, Field(pattern=f"^{REFERENCE}$")]
