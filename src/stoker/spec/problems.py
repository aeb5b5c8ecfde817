"""What is wrong in a file, where, and what would be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stoker.errors import SpecError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}: {self.message}{tail}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was most likely meant to be; None if nothing is near."""
    import difflib

    candidates = list(known)
    for cutoff_word in (word, word.lower()):
        found = difflib.get_close_matches(cutoff_word, candidates, n=1, cutoff=0.6)
        if found:
            return found[0]
    return None


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word, or all of them if they are few."""
    candidates = list(known)
    near = nearest(word, candidates)
    if near is not None:
        return f"did you mean `{near}`?"
    if candidates and len(candidates) <= 12:
        return "there is " + name_all(candidates)
    return ""


def name_all(words: Sequence[str]) -> str:
    """Return `a`, `b` and `c`, each in backticks."""
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def sort_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems by file and line, each once."""
    return tuple(sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.message)))


def as_error(file: str, problems: Iterable[Problem]) -> SpecError:
    """Return the error that carries all of `problems`, for a project that cannot be used."""
    ordered = sort_problems(problems)
    count = "a problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    return SpecError(f"`{file}` has {count}; `stoker check` lists what to change", ordered)
