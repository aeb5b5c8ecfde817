"""The one grammar of selection that all reading and changing verbs share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which items and tasks a verb is about. Everything given must hold; nothing given is all.

    `keys` are exact keys or globs (`*`, `?`, `[…]`); `states` are words of task states or, for a
    verb on items, of item states; `from_key` and `to_key` are inclusive and compare bytewise;
    `match` is searched in failure causes and reasons, ignoring case; `where` is a CEL expression
    over `key`, `params`, `meta`, `values`, `state`, `size`; `by` is who registered the item;
    `cause` is a cause of failure as `failures` names it, the whole of it.
    """

    keys: tuple[str, ...] = ()
    pipeline: str | None = None
    steps: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    from_key: str | None = None
    to_key: str | None = None
    match: str | None = None
    where: str | None = None
    by: str | None = None
    cause: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Selection()
