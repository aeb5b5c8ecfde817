"""What one check of an installation found."""

from dataclasses import dataclass

from stoker.model.encoding import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Answer):
    """What one check found. `state` is ok, warn or fail; `do` is what to do about it."""

    check: str
    state: str
    text: str
    do: str | None = None
