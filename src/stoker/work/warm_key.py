"""Which tasks one warm process can serve, and the command that starts it."""

import os
import sys
from enum import StrEnum
from typing import NamedTuple, assert_never

from stoker.model.pipeline import Call, Language, Python

HELPERS = os.path.join(os.path.dirname(__file__), "languages")
# Constant texts: what differs comes by the environment, since no value becomes code.
_IN_M = "addpath(getenv('STOKER_WARM_HELPER')); stoker_warm();"
_IN_M_ONCE = "addpath(getenv('STOKER_WARM_HELPER')); stoker_warm('once');"
_R_HELPER = os.path.join(HELPERS, "stoker_warm.R")


class Kind(StrEnum):
    """Who talks with the worker from inside the process."""

    PYTHON = "python"  # `warm.py`
    OCTAVE = "octave"  # `languages/stoker_warm.m`, as in MATLAB
    MATLAB = "matlab"
    R = "r"  # `languages/stoker_warm.R`
    PERSISTENT = "persistent"  # the program itself, on its standard streams


class WarmKey(NamedTuple):
    """What tasks must have in common to be served by one process."""

    version_id: int
    folder: str  # of the pipeline: where functions are looked for
    kind: Kind
    program: tuple[str, ...]
    prepare: str | None
    secrets: tuple[str, ...]  # which its environment does not have
    step: str = ""  # of a process that serves one step only
    open_files: int | None = None  # that it may have, where it cannot set that itself
    devices: str | None = None  # CUDA_VISIBLE_DEVICES, which programs read only once


def kind_of(action: Python | Call) -> Kind:
    """Return the kind of process that calls this function."""
    return Kind.PYTHON if isinstance(action, Python) else Kind(action.language)


def program_of(action: Python | Call, *, once: bool = False) -> tuple[str, ...]:
    """Return the words that start a process which calls functions of this language.

    With `once` it does the task in the file STOKER_TASK and ends; not for Python.
    """
    given = action.interpreter
    if isinstance(action, Python):
        return (given or sys.executable,)
    in_m = _IN_M_ONCE if once else _IN_M
    match action.language:
        case Language.OCTAVE:
            return (given or "octave", "--no-gui", "--quiet", "--no-history", "--eval", in_m)
        case Language.MATLAB:
            return (given or "matlab", "-nodisplay", "-batch", in_m)
        case Language.R:
            program, more = given or "Rscript", ("once",) if once else ()
            if os.path.basename(program) == "R":
                options = ("--no-echo", "--no-restore", f"--file={_R_HELPER}")
                return (program, *options, "--args", *more)
            return (program, _R_HELPER, *more)
        case _:
            assert_never(action.language)


def helper_environment(folder: str) -> dict[str, str]:
    """Return where a helper finds itself and the functions of a pipeline's folder."""
    return {"STOKER_WARM_HELPER": HELPERS, "STOKER_WARM_FOLDER": folder}
