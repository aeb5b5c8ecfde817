"""Whether the functions of `python` steps are there, found without importing anything."""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.model.pipeline import Python
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline


def check_python(pipeline: Pipeline) -> tuple[str, ...]:
    """Return a message for each `python` step whose module or function is missing.

    Modules are looked up in the pipeline's folder, then where Stoker's own interpreter finds them.
    A step with an interpreter of its own may have modules that cannot be seen from here; of it only
    what is in the folder is checked.
    """
    messages: list[str] = []
    for step in (one for one in pipeline.steps if one.site is None):
        action = step.action
        if not isinstance(action, Python):
            continue
        module, _, function = action.function.partition(":")
        file = _find(module, [pipeline.folder, *sys.path])
        if file is None:
            if (
                action.interpreter is None
                and module.partition(".")[0] not in sys.stdlib_module_names
            ):
                messages.append(
                    f"step `{step.name}`: there is no module `{module}` in `{pipeline.folder}`, "
                    "nor among the installed ones"
                )
            continue
        fault = _function_fault(file, function)
        if fault:
            messages.append(f"step `{step.name}`: {fault}")
    return tuple(messages)


def _find(module: str, folders: list[str]) -> Path | None:
    """Return the file of a module, without running the packages around it."""
    search: list[str] | None = folders
    spec = None
    for part in module.split("."):
        if search is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(part, search)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        search = None if locations is None else list(locations)
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _function_fault(file: Path, function: str) -> str:
    if file.suffix != ".py":
        return ""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        return f"`{file}` cannot be read as Python: {error}"
    except OSError as error:
        return f"`{file}` cannot be read: {error.strerror}"
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.extend(alias.asname or alias.name for alias in node.names)
    if function in names or "*" in names:
        return ""
    hint = suggest(function, names)
    return f"`{file}` has no function `{function}`" + (f"; {hint}" if hint else "")
