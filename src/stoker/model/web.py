"""The web service as values: how it is reached, and what a pipeline offers to people outside.

`[web]` belongs to the process that serves, so it is a setting. `[pipelines.P.web]` and
`[pipelines.P.results]` are part of the pipeline's version, because any host that serves the store
must offer the same. Neither can change a result, so neither makes anything outdated.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEDIA_TYPE = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"
MEDIA_RANGE = rf"{MEDIA_TYPE}|[a-z]+/\*"  # what a parameter accepts
REFERENCE = r"(outputs|values)\.([a-z][a-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)"

_REFERENCE = re.compile(REFERENCE, re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How the service is reached, and whom it believes.

    `url` ends with a slash; None: the address at which the service listens. `trusted_proxies` are
    networks, as text. `uploads` is an absolute folder; None: one beside the store.
    """

    url: str | None = None
    origins: tuple[str, ...] = ()
    anonymous: str | None = None  # the role of people who have not signed in
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    outbound: tuple[str, ...] = ()
    uploads: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineWeb:
    """What a pipeline offers over HTTP. The limits are those of each client; None: no limit."""

    public: bool = False  # anybody may submit, and sees their own jobs
    wait_s: float | None = None  # how long a request may wait for the result; None: not at all
    example: Mapping[str, Any] = field(default_factory=dict)  # `item` is an absolute path
    max_open: int | None = None
    per_minute: int | None = None
    max_upload_bytes: int | None = None
    keep_s: float | None = None  # from the end of an item; None: for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A result that a pipeline offers by `name`: one output, or one value, of one step."""

    name: str
    of: str  # `outputs.STEP.NAME` or `values.STEP.NAME`

    @property
    def is_value(self) -> bool:
        """Whether it is a value, which a step wrote into `STOKER_VALUES`."""
        return self.of.startswith("values.")

    @property
    def step(self) -> str:
        """The step that makes it."""
        return self.of.split(".")[1]

    @property
    def field(self) -> str:
        """The name of the output or value in that step."""
        return self.of.split(".")[2]


def is_reference(text: str) -> bool:
    """Whether `text` has the form of what a result may be."""
    return _REFERENCE.fullmatch(text) is not None
