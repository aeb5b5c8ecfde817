"""What can be asked for: the selection that all verbs share, and pages of lists."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stoker.model.bounds import PAGE_ROWS, PRIORITY
from stoker.model.selection import Selection

_KEYS = "exact keys or globs (`*`, `?`, `[…]`)"
_STEPS = "of these steps"
_STATES = "in these states"
_FROM = "from this key on, by bytes"
_TO = "up to this key, and all keys that begin with it"
_MATCH = "whose cause or reason holds this text"
_WHERE = "for which this is true: CEL over `key`, `params`, `meta`, `values`, `state`, `size`"
_BY = "registered by this person"
_CAUSE = "with this cause of failure, as `failures` names it"

# No database takes a NUL character.
Text = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]+$")]
Words = Annotated[list[Text], Field(max_length=10_000)]


class Query(BaseModel):
    """Parameters of a query: an unknown one is an error."""

    model_config = ConfigDict(extra="forbid")


class SelectionQuery(Query):
    """The selection, as parameters of a query; those in plural may be given several times."""

    key: Words = Field(default=[], description=_KEYS)
    pipeline: Text | None = Field(default=None, description="of this pipeline")
    step: Words = Field(default=[], description=_STEPS)
    state: Words = Field(default=[], description=_STATES)
    from_key: Text | None = Field(default=None, description=_FROM)
    to_key: Text | None = Field(default=None, description=_TO)
    match: Text | None = Field(default=None, description=_MATCH)
    where: Text | None = Field(default=None, description=_WHERE)
    by: Text | None = Field(default=None, description=_BY)
    cause: Text | None = Field(default=None, description=_CAUSE)

    def selection(self) -> Selection:
        """Return it as all verbs take it."""
        return Selection(
            keys=tuple(self.key),
            pipeline=self.pipeline,
            steps=tuple(self.step),
            states=tuple(self.state),
            from_key=self.from_key,
            to_key=self.to_key,
            match=self.match,
            where=self.where,
            by=self.by,
            cause=self.cause,
        )


class ListQuery(SelectionQuery):
    """A page of a list: at most `limit` rows, behind the page whose `next` is given."""

    limit: Annotated[int, Field(ge=PAGE_ROWS.least, le=PAGE_ROWS.most)] = Field(
        default=100, description="how many rows"
    )
    next: Text | None = Field(default=None, description="the `next` of the page before")


class ItemQuery(Query):
    """One item."""

    key: Text = Field(description="its key")
    pipeline: Text | None = Field(default=None, description="its pipeline, if several have the key")


class WhyQuery(ItemQuery):
    """One item, or one step of it."""

    step: Text | None = Field(default=None, description="the step that is asked about")


class Body(BaseModel):
    """A body: strict types, and an unknown member is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SelectionBody(Body):
    """Which items and tasks a verb is about; everything given must hold."""

    keys: Words = Field(default=[], description=_KEYS)
    pipeline: Text | None = Field(default=None, description="of this pipeline")
    steps: Words = Field(default=[], description=_STEPS)
    states: Words = Field(default=[], description=_STATES)
    from_key: Text | None = Field(default=None, description=_FROM)
    to_key: Text | None = Field(default=None, description=_TO)
    match: Text | None = Field(default=None, description=_MATCH)
    where: Text | None = Field(default=None, description=_WHERE)
    by: Text | None = Field(default=None, description=_BY)
    cause: Text | None = Field(default=None, description=_CAUSE)

    def selection(self) -> Selection:
        """Return it as all verbs take it."""
        return Selection(
            keys=tuple(self.keys),
            pipeline=self.pipeline,
            steps=tuple(self.steps),
            states=tuple(self.states),
            from_key=self.from_key,
            to_key=self.to_key,
            match=self.match,
            where=self.where,
            by=self.by,
            cause=self.cause,
        )


class ChangeBody(Body):
    """What a changing verb is to do. An empty selection is everything: it has to be written."""

    selection: SelectionBody
    reason: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None, description="why; kept in the record beside your name"
    )
    dry_run: bool = Field(default=False, description="count what would be done, and do nothing")


class PriorityBody(ChangeBody):
    """As for other verbs, and the priority."""

    priority: Annotated[int, Field(ge=PRIORITY.least, le=PRIORITY.most)] = Field(
        description="higher comes first; by default items have that of their pipeline"
    )


class RerunBody(ChangeBody):
    """As for other verbs."""

    outdated: bool = Field(
        default=False, description="only done tasks whose step has changed since"
    )
    missing: bool = Field(
        default=False, description="only tasks of which `verify` found an output missing"
    )
