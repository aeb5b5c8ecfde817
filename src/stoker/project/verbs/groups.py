"""The verbs of a project on groups, reached as `project.groups`."""

from typing import TYPE_CHECKING

from stoker.store.groups.rows import GroupClosed, GroupRow, GroupStory
from stoker.store.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stoker.project.opened import Opened
    from stoker.project.verbs.rehearsal import Rehearsal
    from stoker.store.rows import Page

LIMIT = 100  # rows of one page, unless somebody asks for another number


class GroupVerbs:
    """What can be asked of groups, and done with them."""

    def __init__(self, project: "Opened") -> None:
        self._project = project

    def each(
        self, key: str | None = None, *, pipeline: str | None = None, is_waiting: bool = False
    ) -> "Iterator[GroupRow]":
        """Yield the groups one by one, also those that are not complete yet; for hundreds of thousands.

        With `is_waiting` only those that are not complete.
        """
        from stoker.store.groups import listing

        return listing.groups(
            self._project.store, key=key, pipeline=pipeline, is_waiting=is_waiting
        )

    def list(self, key: str | None = None, *, pipeline: str | None = None) -> "Rows[GroupRow]":
        """Return the groups, also those that are not complete yet."""
        return Rows(self.each(key, pipeline=pipeline))

    def page(
        self,
        key: str | None = None,
        *,
        pipeline: str | None = None,
        is_waiting: bool = False,
        after: str | None = None,
        limit: int = LIMIT,
    ) -> "Page[GroupRow]":
        """Return at most `limit` groups, behind the page whose `next` is `after`.

        With `is_waiting` only those that are not complete.
        """
        from stoker.store.reports.group_pages import page_of_groups

        return page_of_groups(
            self._project.store,
            key=key,
            pipeline=pipeline,
            is_waiting=is_waiting,
            after=after,
            limit=limit,
        )

    def show(self, key: str, *, pipeline: str | None = None) -> GroupStory:
        """Return a group with its members, and what it waits for."""
        from stoker.store.groups import listing

        return listing.story(self._project.store, key, pipeline=pipeline)

    def list_for(self, rehearsal: "Rehearsal") -> None:
        """Beside the rehearsal's scratch are the lists of members that its step reads, if of a group."""
        from stoker.store.groups.member_pages import members_of
        from stoker.work import member_lists

        if rehearsal.lists is not None:
            store = self._project.store
            member_lists.write(
                lambda claimed, after: members_of(store, claimed.item_id, after=after),
                rehearsal.claimed,
                rehearsal.lists,
                scratch=rehearsal.scratch,
                mode=0o700,
            )

    def close(
        self,
        key: str,
        *,
        pipeline: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> GroupClosed:
        """The group is complete as it is, and registered, whatever else was expected of it.

        WrongState where none of its members is done, or it is complete already. Members that are over
        later change it, as late ones do.
        """
        from stoker.intake.register_found import Taker
        from stoker.intake.sources.group import GroupSource
        from stoker.store.groups import closing

        project = self._project
        actor = project.actor(reason)
        name, group, members = closing.close(
            project.store, key, actor, pipeline=pipeline, dry_run=dry_run
        )
        if not dry_run and name in project.pipelines:
            declared = project.pipeline(name)
            for source in declared.sources:
                if source.group is not None:
                    followed = GroupSource(project.store, declared, source, actor=actor)
                    Taker(project.store, name, followed, actor).take()
        row = self.show(group, pipeline=name).group
        return GroupClosed(
            pipeline=name,
            key=group,
            item=row.item,
            members=members,
            missing=row.missing,
            dry_run=dry_run,
        )
