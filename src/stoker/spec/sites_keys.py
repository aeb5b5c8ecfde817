"""The keys of another site, that is of `[sites.NAME]`."""

from typing import Annotated

from pydantic import Field

from stoker.spec.shapes import Table, Time, explained


class SiteTable(Table):
    """An outpost: a place where steps run and that has no store, reached by visits from here."""

    folder: str | None = explained(
        "The absolute path of a folder there, which all its nodes see.",
        "Attempts go there as files. Relative paths of the site's steps are in it. It is made if it is "
        "missing.",
        example="/sps/you/stoker",
        absent="required",
    )
    ssh: str | None = explained(
        "The host to visit, as for `ssh`.",
        "Each visit is one `ssh` command, which must need no password.",
        example="cca.example.org",
        absent="`folder` is mounted here",
    )
    stoker: str | None = explained(
        "The path of the program `stoker` there.",
        "Visits call it. It must be the same release as here.",
        example="/sps/you/venv/bin/stoker",
        absent="`stoker` on its PATH",
    )
    every: Annotated[Time, Field(ge=1)] = explained(
        "The time between two visits by `stoker up`.",
        "A visit brings results home and takes new work there, so a longer time delays both.",
        default=60.0,
        example="5m",
    )
    overdue: Annotated[Time, Field(gt=0)] = explained(
        "How long the site may stay without an answer before it is reported as trouble.",
        "Nothing is given up: attempts that are there go on.",
        default=6 * 3600.0,
        example="1d",
    )
