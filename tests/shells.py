"""The versions of bash that shell texts are tested with: the installed one, and Debian 11's and 12's."""

import os
import shutil
from pathlib import Path

import pytest

VERSIONS = ("5.1", "5.2", "installed")


def bash(version: str) -> str:
    """The path of that bash; skips the test, in CI fails it, where it was not unpacked."""
    if version == "installed":
        found = shutil.which("bash")
        assert found is not None
        return found
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(cache, "stoker-tests", f"bash-{version}", "bin", "bash")
    if not path.exists():
        message = f"bash {version} is missing (`requirements/shells`): nothing was tested on it"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return str(path)
