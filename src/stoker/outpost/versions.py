"""A pipeline's version as an outpost has it: relative paths are in the outpost's folder."""

import functools
import hashlib
import json

from stoker.model.outpost import Outpost
from stoker.model.pipeline import Pipeline
from stoker.spec.canon import dump_pipeline


@functools.lru_cache(maxsize=64)
def _dumped(text: str, folder: str | None) -> tuple[str, str]:
    there = json.loads(text)
    for name in ("error_folder", "sources"):  # the store's side looks after these
        there.pop(name, None)
    if folder is not None:
        there["folder"] = folder
        there.pop("up", None)
    spec = json.dumps(there, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(spec.encode()).hexdigest()[:32], spec


def version_of(pipeline: Pipeline, outpost: Outpost) -> tuple[str, str]:
    """Return the name of a version at that outpost, and its text."""
    return _dumped(dump_pipeline(pipeline), None if outpost.is_shared else outpost.folder)
