"""The sites that `stoker.toml` declares, for a command that needs nothing else of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stoker.spec.locations import absolute_file
from stoker.spec.problems import as_error
from stoker.spec.schema import ProjectFile
from stoker.spec.sites import build_sites
from stoker.spec.toml_file import read_toml
from stoker.spec.validate import validate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from stoker.model.outpost import Outpost


def declared_sites(file: Path) -> Mapping[str, Outpost]:
    """Return the sites by name; SpecError carries every problem of their tables.

    NotFound and UserError where the file cannot be read.
    """
    file = absolute_file(file)
    main = read_toml(file, file.name)
    if main.raw is None:
        raise as_error(file.name, main.problems())
    own: dict[str, Any] = {one: main.raw[one] for one in ("project", "sites") if one in main.raw}
    found = validate(own, ProjectFile, main.findings)
    sites = build_sites(found.sites, found.project.site, (), main.findings)
    if main.findings.problems:
        raise as_error(file.name, main.problems())
    return {one.name: one for one in sites}
