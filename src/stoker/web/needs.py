"""The access that a request needs, as the table of routes states it."""

from enum import Enum

from stoker.model.access import Role


class Need(Enum):
    """The access that a method of a route needs."""

    NOTHING = "nothing"  # shows nothing of the project
    OWN = "own"  # public pipelines, and jobs whose id the client knows; else a role
    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def role(self) -> Role | None:
        """The least role that is enough; None where none is needed."""
        return _ROLES.get(self.value)


_ROLES = {role.word: role for role in Role}
