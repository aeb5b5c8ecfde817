"""How a project is composed: parts with some of its verbs each, reached through the project itself.

A part has the project and nothing else, so that it sees what the project sees at each call. The
project says verb by verb which part does it: `status = Delegated(Reading, Reading.status)`.
"""

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

if TYPE_CHECKING:
    from stoker.project.opened import Opened

_P = ParamSpec("_P")
_R = TypeVar("_R")
_PartT = TypeVar("_PartT", bound="Part")


class Part:
    """Some verbs of a project."""

    def __init__(self, project: "Opened") -> None:
        self._project = project


class Delegated(Generic[_P, _R]):
    """A verb of a project that a part of it does."""

    def __init__(self, part: type[_PartT], function: Callable[Concatenate[_PartT, _P], _R]) -> None:
        self._part = part
        self._function: Callable[..., _R] = function
        self.__doc__ = function.__doc__
        self.__wrapped__ = function  # its signature, for help

    @overload
    def __get__(self, project: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, project: "Opened", owner: Any) -> Callable[_P, _R]: ...
    def __get__(self, project: "Opened | None", owner: Any) -> Self | Callable[_P, _R]:
        """Return the verb, as a method of the project."""
        if project is None:
            return self
        return MethodType(self._function, self._part(project))

    def __call__(self, project: "Opened", *args: _P.args, **more: _P.kwargs) -> _R:
        """Do it for that project, as `Project.verb(project, …)`."""
        return self._function(self._part(project), *args, **more)
