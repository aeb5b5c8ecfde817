"""A store that was moved, deleted or replaced while it was open: nothing is written to another."""

import os
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import literal_column, select, table, update

from stoker.errors import NotFound, StoreGone
from stoker.store import tables
from stoker.store.database.connect import open_store
from stoker.store.reports import overview
from stoker.work.store_link import StoreLink


@pytest.fixture
def file(url, database) -> Path:
    if database != "sqlite":
        pytest.skip("a store on a server is no file")
    return Path(url.removeprefix("sqlite:///"))


def remove(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_file_that_is_another_by_now_is_neither_written_nor_made(rig, pipeline, url, file, how):
    rig.apply(pipeline(one=()))
    if how == "moved":
        file.parent.rename(file.parent.with_name("moved"))
    else:
        remove(file)
    if how == "replaced":
        open_store(url).close()
    for _ in range(2):
        with pytest.raises(StoreGone, match="another file" if how == "replaced" else "moved or"):
            rig.push("a")
        with pytest.raises(StoreGone):
            overview.status(rig.store)
    assert rig.store.identity.gone is not None
    assert file.exists() is (how == "replaced")


def test_closing_a_store_that_is_gone_leaves_the_new_one_whole(rig, pipeline, url, file):
    rig.apply(pipeline(one=()))
    remove(file)
    with closing(open_store(url)) as fresh:
        with pytest.raises(StoreGone):
            rig.push("a")
        before = {path.name: path.stat().st_ino for path in file.parent.iterdir()}
        assert any(name.endswith("-wal") for name in before)
        rig.store.close()
        assert {path.name: path.stat().st_ino for path in file.parent.iterdir()} == before
        assert overview.status(fresh).pipelines == {}


def test_only_what_makes_a_store_makes_its_file(url, file):
    with pytest.raises(NotFound):
        open_store(url, create=False)
    assert not file.parent.exists()
    open_store(url).close()
    assert file.exists()


def test_another_store_in_the_same_place_is_noticed_by_its_uid(rig, url):
    with closing(open_store(url)) as other, other.writing() as unit:
        unit.execute(update(tables.site).values(uid="00000000-0000-0000-0000-000000000000"))
    rig.store.discard(rig.store.borrow(writes=False, wait_s=1.0)[0])
    with pytest.raises(StoreGone, match="another store has taken the place"):
        overview.workers(rig.store)


def test_a_store_without_tables_is_gone(rig):
    nowhere = select(literal_column("1")).select_from(table("not_there"))
    with pytest.raises(StoreGone, match="tables were deleted"), rig.store.reading() as unit:
        unit.execute(nowhere)


def test_what_workers_leave_is_known_by_the_stores_own_id(rig, url):
    """However the same store is reached."""
    again = url.replace("127.0.0.1", "localhost") if "://" in url else url
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        link = path.parent.with_name("link")
        os.symlink(path.parent, link)
        again = f"sqlite:///{link}/{path.name}"
    with closing(open_store(again)) as other:
        assert StoreLink(other).store_id == rig.link.store_id
