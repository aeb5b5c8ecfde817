"""The one grammar of selection that all reading and changing verbs share."""

from dataclasses import dataclass

from stoker.errors import UserError
from stoker.model.words import shown

_LAST = chr(0x10FFFF)
_SURROGATES = range(0xD800, 0xE000)  # code points that no text has


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which items and tasks a verb is about. Everything given must hold; nothing given is all.

    `keys` are exact keys or globs (`*`, `?`, `[…]`), `literal` exact keys only; `states` are words of task states or, for a
    verb on items, of item states; `from_key` and `to_key` are inclusive and compare bytewise, and
    keys that begin with `to_key` are in the range too, as those that begin with `from_key` are;
    `match` is searched in failure causes and reasons, ignoring case; `where` is a CEL expression
    over `key`, `params`, `meta`, `values`, `state`, `size`; `by` is who registered the item;
    `cause` is a cause of failure as `failures` names it, the whole of it. `tasks` are the ids of those
    that somebody has seen: none that the rest would choose since is chosen then.
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
    literal: tuple[str, ...] = ()
    tasks: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Raise UserError for an empty bound or text: it would choose all.

        Texts about people's words become what is kept of such words.
        """
        for option, value in (
            ("--from-key", self.from_key), ("--to-key", self.to_key), ("--match", self.match),
        ):  # fmt: skip
            if value == "":
                raise UserError(
                    f"`{option}` is empty, and would choose all; leave it out, or give it a text"
                )
        for name in ("match", "by", "cause"):
            words = getattr(self, name)
            if words is not None:
                object.__setattr__(self, name, shown(words))

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self == Selection()


def after_prefix(prefix: str) -> str | None:
    """Return the least text above `prefix` and all that begins with it; None if there is none.

    In the order of code points, which is the order of the bytes of UTF-8.
    """
    kept = prefix.rstrip(_LAST)
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(_SURROGATES.stop if code in _SURROGATES else code)
