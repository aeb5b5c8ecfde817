"""Items: what is registered, and how a key comes from a path (rule K of the file format)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stoker.errors import UserError
from stoker.model.saying import NOTHING, Said, Saying, mark_of, merged

KEY_LIMIT_BYTES = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NOTHING_KNOWN: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """One datum to register.

    `path` is absolute as the system decodes it (surrogate escapes stand for bytes that are no
    UTF-8); None for a record. `fingerprint` distinguishes new content from known. One with a `reason` cannot
    be taken, and is registered in quarantine; the reason says why. `mark` is the end of the
    fingerprint that stands for parameters; `saying` is what was said about them, `said` what the record keeps of it.
    """

    key: str
    path: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    size_bytes: int | None = None
    mtime_us: int | None = None
    fingerprint: str = ""
    priority: int = 0
    reason: str | None = None
    checksum: str | None = None
    mark: str = ""
    saying: Saying = NOTHING
    said: Said = field(default_factory=dict)

    @property
    def content(self) -> str:
        """What distinguishes this content from another, whatever the parameters."""
        return self.fingerprint.removesuffix(self.mark)

    def standing(
        self, params: Mapping[str, Any] = _NOTHING_KNOWN, said: Said = _NOTHING_KNOWN
    ) -> "NewItem":
        """Return the item with the parameters that stand, where these were known of it, as `said`."""
        stand, now = merged(self.params, self.saying, known_params=params, known_said=said)
        if stand == self.params and now == self.said:
            return self
        mark = mark_of(stand, now)
        return replace(self, params=stand, said=now, fingerprint=self.content + mark, mark=mark)


def key_from_name(name: str) -> str:
    """Return `name` as a key: control characters and bytes that are no UTF-8 stand as `%XX`.

    Only in a name that has such characters is `%` itself written `%25`, so that ordinary names stay
    as they are and no two names share a key by this rule alone.
    """
    if not _CONTROL.search(name):
        return name
    escaped = name.replace("%", "%25")
    return _CONTROL.sub(_percent, escaped)


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8", "surrogateescape"))


def key_of(name: str) -> str:
    """Return `name` as a key; UserError if it cannot be one."""
    return name if is_plain_key(name) else check_key(key_from_name(name))


def is_plain_key(name: str) -> bool:
    """Whether nothing needs a closer look: most names are such, and a list has millions."""
    return (
        0 < len(name) <= KEY_LIMIT_BYTES
        and name.isascii()
        and name.isprintable()
        and ".." not in name
        and name[0] != "/"
    )


def check_key(key: str) -> str:
    """Return `key` unchanged; UserError if it is empty, too long, or would leave a folder."""
    if is_plain_key(key):
        return key
    if not key:
        raise UserError("an item's key is empty; give each item a name of at least one character")
    size_bytes = len(key.encode("utf-8", "surrogateescape"))
    if size_bytes > KEY_LIMIT_BYTES:
        raise UserError(
            f"the key `{key[:60]}…` has {size_bytes} bytes and {KEY_LIMIT_BYTES} are allowed; "
            "set `key` in the pipeline to something shorter"
        )
    if key.startswith("/") or ".." in key.split("/"):
        raise UserError(
            f"the key `{key}` would leave the output folder; a key has no `..` between slashes "
            "and does not begin with a slash"
        )
    if _CONTROL.search(key):
        raise UserError(f"the key {key!r} has control characters; they are written `%XX` in a key")
    return key
