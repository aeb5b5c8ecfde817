"""How often in a row pilots of an outpost were refused, or never worked; after too often, no more come.

It is kept in the spool, with the batch system's settings: other settings begin again, and so does a
person who releases the site.
"""

from typing import Any

from stoker.model.batch import BatchSystem, Manners
from stoker.model.words import shown
from stoker.outpost import sealed
from stoker.outpost.sealed import Broken
from stoker.outpost.spool import Spool

_WORDS = 400  # characters of what was said last


class Luck:
    """What became of the last pilots."""

    def __init__(self, spool: Spool, settings: BatchSystem, *, resumes: bool) -> None:
        self._path = spool.at("luck.json")
        self._digest = settings.digest
        fresh: dict[str, Any] = {"digest": self._digest, "failed": 0, "refused": 0, "words": ""}
        try:
            found = sealed.read(self._path)
            is_ours = not resumes and found["digest"] == self._digest
            self._known = (
                {name: type(fresh[name])(found[name]) for name in fresh} if is_ours else fresh
            )
        except (FileNotFoundError, Broken, LookupError, TypeError, ValueError):
            self._known = fresh

    @property
    def held_because(self) -> str | None:
        """Why no more pilots are submitted; None if they are."""
        manners, known = Manners(), self._known
        if known["failed"] >= manners.most_failed:
            what = f"{known['failed']} pilots in a row never worked"
        elif known["refused"] >= manners.most_refused:
            what = f"{known['refused']} pilots in a row were refused"
        else:
            return None
        said = f" ({known['words']})" if known["words"] else ""
        return f"no more are submitted, as {what}{said}; `stoker site release` tries again"

    def ended(self, words: str, *, has_worked: bool) -> None:
        """A pilot is over."""
        if has_worked:
            self._note(failed=0, words="")
        else:
            lines = [line for line in words.splitlines() if line.strip()]
            self._note(failed=self._known["failed"] + 1, words=lines[-1] if lines else "")

    def refused(self, words: str) -> None:
        """The batch system did not take a pilot."""
        self._note(refused=self._known["refused"] + 1, words=words)

    def taken(self) -> None:
        """The batch system took one."""
        self._note(refused=0)

    def _note(self, **changed: Any) -> None:
        if "words" in changed:
            changed["words"] = shown(changed["words"])[:_WORDS]
        known = self._known | changed
        if known != self._known:
            self._known = known
            sealed.write(self._path, known)
