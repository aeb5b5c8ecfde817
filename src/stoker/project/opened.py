"""An opened project: its file, and its store."""

from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from stoker.errors import NotFound, SpecError
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from stoker.model.pipeline import Pipeline
    from stoker.model.settings import Settings
    from stoker.spec.load import Loaded
    from stoker.store.actor import Actor
    from stoker.store.unit import Store


class Opening:
    """The file of a project and its store, each read or opened when it is first needed.

    Several projects, each for a user of its own, share one.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lock = Lock()
        self.store: Store | None = None

    @cached_property
    def loaded(self) -> "Loaded":
        """The whole file; SpecError if it cannot be used."""
        from stoker.spec.load import load_project

        return load_project(self.file)

    @cached_property
    def worker_settings(self) -> "Settings":
        """The settings that a worker goes by; SpecError if they cannot be used."""
        from stoker.spec.worker_settings import worker_settings

        return worker_settings(self.file)


class Opened:
    """A file as it was when it was needed first, and its store, opened likewise.

    A verb that only reads the store does not read the pipelines: it is quick, and works also while
    somebody is in the middle of changing the file.
    """

    def __init__(
        self, file: Path, *, user: str | None = None, opening: Opening | None = None
    ) -> None:
        self.file = file
        self._user = user
        self._opening = opening or Opening(file)
        self._is_guest = opening is not None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.file)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self.close()

    @property
    def user(self) -> str:
        """The name for which the project's verbs act: by default that of the process's account."""
        from stoker.store.actor import account_name

        return self._user if self._user is not None else account_name()

    def acting_as(self, user: str) -> Self:
        """Return a project that acts for this user: items are theirs, and the journal names them.

        It shares this project's file and store, and they stay open when it is closed. UserError if
        nobody can have that name.
        """
        from stoker.store.actor import Actor

        return type(self)(self.file, user=Actor(user).user, opening=self._opening)

    def reread_for(self, user: str) -> Self:
        """Return a project like that of `acting_as`, with the file as it is now."""
        from stoker.store.actor import Actor

        opening = Opening(self.file)
        opening.store = self.open_store(create=False)
        return type(self)(self.file, user=Actor(user).user, opening=opening)

    def actor(self, reason: str | None = None) -> "Actor":
        """Return the user for whom the project acts, with their reason for a change."""
        from stoker.store.actor import Actor

        return Actor(self.user, reason)

    @property
    def loaded(self) -> "Loaded":
        """The whole file; SpecError if it cannot be used."""
        return self._opening.loaded

    @property
    def settings(self) -> "Settings":
        """What the file says outside its pipelines."""
        return self.loaded.settings

    @property
    def worker_settings(self) -> "Settings":
        """The settings that a worker goes by, whatever the file says of pipelines."""
        return self._opening.worker_settings

    @property
    def pipelines(self) -> "Mapping[str, Pipeline]":
        """The pipelines of the file that have no problem."""
        return self.loaded.pipelines

    @property
    def store(self) -> "Store":
        """The store; NotFound if nothing has been pushed or run here yet."""
        return self.open_store(create=False)

    def close(self) -> None:
        """Close the store, unless it is another project's. A closed project opens it again if used."""
        if self._is_guest:
            return
        opening = self._opening
        with opening.lock:
            if opening.store is not None:
                opening.store.close()
                opening.store = None

    def open_store(self, *, create: bool) -> "Store":
        """Return the store; with `create` it is made if there is none, else NotFound says so."""
        from stoker.spec.address import Address, stated_in
        from stoker.store.database.connect import open_store

        opening = self._opening
        with opening.lock:
            if opening.store is None:
                found = None if create else stated_in(self.file)
                if found is None:
                    own = self.settings if create else self.worker_settings
                    found = Address(own.store_url, own.store_password_file, own.store_access)
                opening.store = open_store(
                    found.url,
                    site_name=(self.settings.site or "") if create else "",
                    create=create,
                    folder=f"{self.file.parent}/.stoker",
                    password_file=found.password_file,
                    access=found.access,
                )
            return opening.store

    def pipeline(self, name: str) -> "Pipeline":
        """Return the file's pipeline of that name; SpecError if it is broken, NotFound if absent."""
        if name in self.loaded.pipelines:
            return self.loaded.pipelines[name]
        if name in self.loaded.broken:
            problems = self.loaded.broken[name]
            raise SpecError(f"pipeline `{name}` cannot be used until this is put right:", problems)
        hint = suggest(name, self.loaded.pipelines) or "`stoker.toml` declares none"
        raise NotFound(f"`{self.file.name}` has no pipeline `{name}`; {hint}")
