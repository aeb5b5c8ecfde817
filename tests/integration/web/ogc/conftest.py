"""The echo of `examples/conformance`, served to strangers who may look at everything."""

import shutil
from pathlib import Path

import pytest

from integration.web.conftest import service

EXAMPLE = Path(__file__).parents[4] / "examples" / "conformance"


@pytest.fixture(scope="session")
def echo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conformance")
    shutil.copy(EXAMPLE / "stoker.toml", folder)
    with service(folder) as found:
        found.client.headers.update({"accept": "application/json"})
        yield found
