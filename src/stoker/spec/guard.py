"""What a step's values may contain beside the shell constructs of its text, held for each attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.spec.evaluation import SUBSTITUTION, Construct, find_construct
from stoker.spec.values import to_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stoker.spec.values import Context, Slot


class Guard:
    """The rule on values for one step.

    `texts` are the shell texts that its attempts run, by the key that holds each: its command, and
    its `prepare`, whose functions the command may call. `start_files` are variables of its `env`
    that name a file which bash reads first.
    """

    __slots__ = ("_found", "_slots", "_step")

    def __init__(
        self,
        step: str,
        texts: Mapping[str, str],
        slots: Sequence[Slot],
        start_files: Sequence[str] = (),
    ) -> None:
        self._step = step
        self._slots = tuple(slots)
        found = [(key, find_construct(text)) for key, text in texts.items()]
        self._found = [(key, construct) for key, construct in found if construct is not None]
        if texts:
            self._found += [("env", Construct(name, SUBSTITUTION)) for name in start_files]

    def check(self, context: Context) -> None:
        """UserError if a value of this attempt may not stand beside a construct of the step."""
        if not self._found:
            return
        for name, text in self._values(context):
            for key, construct in self._found:
                bad = next((one for one in construct.forbidden if one in text), None)
                if bad is not None:
                    raise UserError(self._reason(name, bad, key, construct))

    def _reason(self, name: str, bad: str, key: str, construct: Construct) -> str:
        character = "a backtick" if bad == "`" else f"`{bad}`"
        return (
            f"`{{{name}}}` contains {character}, and `{key}` of step `{self._step}` has "
            f"`{construct.name}`, with which bash may run such a value as code; change the value, or "
            "hand it over by `argv`, as a parameter of type `integer`, or to a script of its own"
        )

    def _values(self, context: Context) -> Iterator[tuple[str, str]]:
        """Yield all values that the step's text can reach: by its names, or as `STOKER_…`."""
        claimed = context.claimed
        reachable: dict[str, Any] = {
            "key": claimed.key,
            "item": claimed.path,
            **{f"params.{name}": value for name, value in claimed.params.items()},
            **{f"slot.{name}": value for name, value in claimed.slots.items()},
            "scratch": context.scratch,
        }
        for slot in self._slots:
            name = slot.reference.name
            if name not in reachable:
                reachable[name] = slot.reference.get(context)
        for name, value in reachable.items():
            for text in to_words(value):
                yield name, text
