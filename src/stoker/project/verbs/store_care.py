"""The verbs that look after the store itself."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.project.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stoker.store.database.copying import OnTable
    from stoker.store.database.disk_usage import Extent
    from stoker.store.database.invariants import Checked
    from stoker.store.database.relocate import Relocated
    from stoker.store.database.upgrade import Made, Upgraded
    from stoker.store.unit import Store


class Keeping(Part):
    """Making, checking, upgrading, moving and backing up the project's store."""

    def create_store(self) -> "Made":
        """The store is there, with all its tables; twice makes it once."""
        from stoker.store.database import schema, upgrade

        with self._bare() as found:
            is_new = schema.version_in(found) is None
        return upgrade.describe(self._project.open_store(create=True), is_new=is_new)

    def upgrade_store(self, *, dry_run: bool = False) -> "Upgraded":
        """The store is of this release; with `dry_run`, what that takes."""
        from stoker.store.database.upgrade import upgrade

        with self._bare() as found:
            return upgrade(found, dry_run=dry_run)

    def check_store(self, *, replay: bool = False) -> "Iterator[Checked]":
        """Yield each check of the live store; with `replay` also of the journal against the tables."""
        from stoker.store.database import invariants

        yield from invariants.check(self._project.store)
        if replay:
            yield invariants.check_journal(self._project.store)

    def move_store(
        self,
        url: str,
        *,
        password_file: str | None = None,
        on_table: "OnTable | None" = None,
        dry_run: bool = False,
    ) -> "Relocated":
        """The project's store is at `url`, with its whole history; the old one is closed for good."""
        from stoker.spec.address import refuse_password, store_url
        from stoker.store.database.connect import bare
        from stoker.store.database.relocate import move

        refuse_password(url)
        target_url = store_url(url, str(Path.cwd()))
        folder = f"{self._project.settings.folder}/.stoker"
        with (
            self._bare() as source,
            bare(
                target_url,
                folder=folder,
                password_file=password_file,
                access=self._project.settings.store_access,
            ) as target,
        ):
            return move(source, target, named=target_url, on_table=on_table, dry_run=dry_run)

    def back_up_store(
        self, path: Path, *, on_table: "OnTable | None" = None, dry_run: bool = False
    ) -> "Relocated":
        """`path` is a backup of the store as it was at one moment; work goes on meanwhile."""
        from stoker.store.database.relocate import back_up

        return back_up(self._project.store, path, on_table=on_table, dry_run=dry_run)

    def dump_command(self) -> str | None:
        """Return the command by which the database's own tool puts a copy by; None for a file."""
        return self._project.store.dialect.dump_command(self._project.store.engine)

    def restore_store(
        self, path: Path, *, on_table: "OnTable | None" = None, dry_run: bool = False
    ) -> "Relocated":
        """The project's store, of which there was none, is as it was when the backup was made."""
        from stoker.store.database.relocate import restore

        with self._bare() as target:
            return restore(path, target, on_table=on_table, dry_run=dry_run)

    def store_extent(self) -> "Extent":
        """Return how much room the store, its logs and this host's scratch take."""
        from stoker.store.database.disk_usage import extent
        from stoker.work.leftovers import scratch_root
        from stoker.work.store_link import StoreLink

        return extent(
            self._project.store,
            scratch=scratch_root(StoreLink(self._project.store), self._project.settings),
        )

    @contextmanager
    def _bare(self) -> "Iterator[Store]":
        """Yield the store whatever its version is, and whether or not it is there."""
        from stoker.store.database.connect import bare

        with bare(
            self._project.settings.store_url,
            folder=f"{self._project.settings.folder}/.stoker",
            password_file=self._project.settings.store_password_file,
            access=self._project.settings.store_access,
        ) as found:
            yield found
