"""Which group an item belongs to, by the names in `group_by` and the condition `where`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.model.item import key_of
from stoker.spec.condition import Condition
from stoker.spec.group_sources import ALL, OF_TIME, names_in
from stoker.spec.keys import context_of
from stoker.spec.names import Place, resolve
from stoker.spec.parts import Literal, parse
from stoker.spec.values import Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Pipeline
    from stoker.model.source import Group
    from stoker.spec.values import Context

_FORMS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
_MOST_EXPECTED = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an item belongs: `group` is None for one that is no member.

    `fault` says why an item that may be a member is in no group. `expected` is what it says of the
    number of members.
    """

    group: str | None = None
    expected: int | None = None
    fault: str | None = None


class Membership:
    """The rule by which items of the pipeline `followed` are members of groups, compiled once."""

    def __init__(self, group: Group, followed: Pipeline) -> None:
        self._group = group
        self._followed = followed
        self._parts = [
            part.text if isinstance(part, Literal) else self._made(part.name, part.separator)
            for part in parse(group.by)
        ]
        self._where = None if group.where is None else Condition(group.where)
        names = names_in(group.count) if isinstance(group.count, str) else []
        self._count = self._made(names[0], None) if names else None

    @property
    def is_constant(self) -> bool:
        """Whether all items are members of the one group, whatever is known of them."""
        return not self._parts and self._where is None and self._count is None

    @property
    def period(self) -> str | None:
        """The time that a group stands for, `day` or `month`; None if for none."""
        found = [name for name in names_in(self._group.by) if name in OF_TIME]
        return ("day" if "day" in found else found[0]) if found else None

    def place(
        self,
        key: str,
        *,
        path: str | None,
        params: Mapping[str, Any],
        meta: Mapping[str, Any],
        registered_us: int,
    ) -> Placed:
        """Return where the item belongs."""
        try:
            if self._where is not None and not self._where.holds(
                params=self._with_defaults(params), meta=meta, key=key, item=path
            ):
                return Placed()
            context = context_of(self._followed, key, path, params, meta)
            group = self._key(context, registered_us) if self._parts else ALL
            return Placed(group, self._expected(context, key))
        except UserError as error:
            return Placed(fault=str(error))

    def _with_defaults(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {one.name: one.default for one in self._followed.params if one.default is not None}
        return {**given, **params}

    def _key(self, context: Context, registered_us: int) -> str:
        text = ""
        for part in self._parts:
            if isinstance(part, str):
                text += part
            elif isinstance(part, _Time):
                text += time.strftime(part.form, time.localtime(registered_us / 1e6))
            else:
                text += part.text(context)
        if not text:
            raise UserError(
                f"`group_by` is empty for `{context.claimed.key}`, so it is in no group; give the "
                "item such a value, or leave it out by `where`"
            )
        try:
            return key_of(text)
        except UserError as error:
            raise UserError(f"`group_by` for `{context.claimed.key}`: {error}") from None

    def _expected(self, context: Context, key: str) -> int | None:
        if not isinstance(self._count, Slot):
            return None
        value = self._count.reference.get(context)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        text = str(value).strip()
        number = value if is_number else int(text) if text.isascii() and text.isdecimal() else 0
        if not 1 <= number <= _MOST_EXPECTED:
            raise UserError(
                f"`count` is `{text[:40]}` for `{key}`, and should be a whole number of at least 1"
            )
        return int(number)

    def _made(self, name: str, separator: str | None) -> Slot | _Time:
        if name in OF_TIME:
            return _Time(_FORMS[name])
        return Slot(resolve(name, self._followed, None, Place.KEY), separator, 0)


@dataclass(frozen=True, slots=True)
class _Time:
    """The time of registration, on this host's clock, in some form."""

    form: str


def end_of(period: str, at_us: int) -> int:
    """Return when the day or month ends, by this host's clock, that holds the time `at_us`."""
    at = time.localtime(at_us / 1e6)
    first = (
        (at.tm_year, at.tm_mon, at.tm_mday + 1)
        if period == "day"
        else (at.tm_year, at.tm_mon + 1, 1)
    )
    return int(time.mktime((*first, 0, 0, 0, 0, 0, -1)) * 1_000_000)
