"""A store on each database, and small pipelines to put into it."""

from collections.abc import Callable, Iterator

import pytest

from stoker.model.pipeline import Pipeline, Run, Step
from stoker.store.connect import Store, open_store
from store.rig import Rig


@pytest.fixture(params=["sqlite"])
def url(request: pytest.FixtureRequest, tmp_path) -> str:
    """The URL of an empty database of each kind that the store can lie in."""
    return f"sqlite:///{tmp_path}/store/stoker.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(url, site_name="here")
    yield opened
    opened.close()


@pytest.fixture
def rig(store: Store) -> Rig:
    """A store with what the tests do to it, in a line each."""
    return Rig(store)


@pytest.fixture
def pipeline() -> Callable[..., Pipeline]:
    """Build a pipeline of steps given as `name=("after", …)` or as whole steps."""

    def build(*steps: Step, **after: tuple[str, ...]) -> Pipeline:
        made = steps + tuple(
            Step(name=name, after=before, action=Run(text="true")) for name, before in after.items()
        )
        return Pipeline(name="line", folder="/project", steps=made)

    return build
