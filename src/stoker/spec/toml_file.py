"""A file of TOML as it was read, with its problems."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.errors import NotFound, UserError
from stoker.spec.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from stoker.spec.validate import Findings


@dataclass(slots=True)
class TomlFile:
    """A file that was read; `raw` is None where it is no TOML."""

    findings: Findings
    text: str = ""
    raw: dict[str, Any] | None = None

    def problems(self) -> list[Problem]:
        """Return what is wrong with the file."""
        return [problem for _, problem in self.findings.problems]


def read_toml(path: Path, shown: str) -> TomlFile:
    """Return the file at `path`, called `shown` in messages; NotFound, UserError if unreadable."""
    from stoker.spec.validate import Findings

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no `{path}`; `stoker init` writes one") from None
    except OSError as error:
        raise UserError(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        file = TomlFile(Findings(shown, ""))
        problem = Problem(shown, line, 1, "the file is not UTF-8", "save it in that encoding")
        file.findings.problems.append(((), problem))
        return file
    file = TomlFile(Findings(shown, text), text)
    try:
        file.raw = file.findings.raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        file.findings.problems.append(((), _toml_problem(shown, text, str(error))))
    return file


def _toml_problem(shown: str, text: str, complaint: str) -> Problem:
    found = re.search(r"\(at line (\d+), column (\d+)\)", complaint)
    line, column = (int(found[1]), int(found[2])) if found else (text.count("\n") + 1, 1)
    message = re.sub(r" \(at [^)]*\)$", "", complaint)
    return Problem(shown, line, column, f"this is not TOML: {message}")
