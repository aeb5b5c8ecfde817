"""Owns the ends of attempts until somebody delivers them."""

from collections.abc import Sequence

from stoker.model.task import Result


class Ends:
    """What attempts came to, in the order in which it became known. One thread's alone."""

    def __init__(self) -> None:
        self._results: list[Result] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._results)

    def record(self, result: Result) -> None:
        """The attempt has come to this."""
        self._results.append(result)

    def take(self) -> Sequence[Result]:
        """Return all of them; the caller answers for them from now on."""
        taken, self._results = self._results, []
        return taken
