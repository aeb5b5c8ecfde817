"""A project is composed of parts; each of its verbs says which one does it."""

import inspect

import pytest

from stoker.project import Project
from stoker.project.parts import Delegated, Part

VERBS = sorted(name for name, one in vars(Project).items() if isinstance(one, Delegated))


def test_a_verb_is_done_by_its_part_with_what_the_project_has():
    class Telling(Part):
        def tell(self, *words: str, end: str = ".") -> str:
            return f"{self._project.file}: {' '.join(words)}{end}"

    class Whole:
        file = "x"
        tell = Delegated(Telling, Telling.tell)

    whole = Whole()
    assert whole.tell("a", "b", end="!") == "x: a b!"
    whole.file = "y"
    assert whole.tell() == Whole.tell(whole) == "y: ."


@pytest.mark.parametrize("name", VERBS)
def test_help_describes_each_verb(name):
    verb = getattr(Project, name)
    assert verb.__doc__
    assert list(inspect.signature(verb).parameters)[:1] == ["self"]


def test_the_parts_hold_most_of_the_verbs():
    assert {"status", "retry", "apply", "check_store"} <= set(VERBS)
