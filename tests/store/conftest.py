"""A store on each database, and small pipelines to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.store.database.connect import open_store
from stoker.store.unit import Store
from stoker.work.link import Link
from stoker.work.store_link import StoreLink
from store.rig import Rig


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database that a store can lie in."""
    return str(request.param)


@pytest.fixture
def url(database: str, tmp_path: Path) -> str:
    """The URL of a database that holds an empty store, or will when it is opened."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path}/store/stoker.db"
    return servers.server(database).new_store(servers.make_store)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    opened = open_store(url, site_name="here")
    yield opened
    opened.close()


@pytest.fixture(params=[StoreLink])
def link(request: pytest.FixtureRequest, store: Store) -> Link:
    """Each way in which a worker reaches its store: all have to keep the contract of `Link`."""
    made: Link = request.param(store)
    return made


@pytest.fixture
def rig(store: Store, link: Link) -> Rig:
    """A store with what the tests do to it, in a line each."""
    return Rig(store, link)


@pytest.fixture
def pipeline() -> Callable[..., Pipeline]:
    """Build a pipeline of steps given as `name=("after", …)` or as whole steps."""

    def build(*steps: Step, **after: tuple[str, ...]) -> Pipeline:
        made = steps + tuple(
            Step(name=name, after=before, action=Run(text="true")) for name, before in after.items()
        )
        return Pipeline(name="line", folder="/project", steps=made)

    return build
