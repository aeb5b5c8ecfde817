"""Words from outside may have any bytes and any length: every database keeps them, readable."""

import pytest
from sqlalchemy import select

from stoker.errors import UserError
from stoker.model.selection import Selection
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import sources
from stoker.store.claims import workers
from stoker.store.columns import NAME_LENGTH
from stoker.store.database import relocate
from stoker.store.orders import verbs

ODD = "a\udcffb\0"
KEPT = r"a\xffb\x00"


def one(rig, column):
    with rig.store.reading() as unit:
        return unit.execute(select(column)).scalar_one()


def test_reasons_names_and_troubles_of_any_bytes_are_kept(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("k")
    assert verbs.hold(rig.store, Selection(), Actor("me", ODD)).changed == {"hold": 1}
    assert one(rig, tables.task.c.reason) == f"held by me: {KEPT}"
    worker = rig.worker(name=ODD + "n" * 300)
    workers.note_trouble(rig.store, worker, ODD)
    assert one(rig, tables.worker.c.name) == (KEPT + "n" * 300)[:NAME_LENGTH]
    assert one(rig, tables.worker.c.trouble) == KEPT
    source = sources.find_source(rig.store, "line", "incoming", kind="list")
    sources.conclude(rig.store, source, taken=0, pending=0, pending_for_s=None, trouble=ODD)
    assert one(rig, tables.source.c.trouble) == KEPT
    rig.check()


def test_words_are_found_by_what_is_kept_of_them(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("k")
    verbs.hold(rig.store, Selection(), Actor("me", ODD))
    chosen = Selection(match=ODD)
    assert verbs.release(rig.store, chosen, Actor("me")).changed == {"release": 1}
    assert verbs.hold(rig.store, Selection(by=ODD), Actor("me")).total == 0


def test_a_backup_under_a_name_that_no_database_has_is_refused(rig, tmp_path):
    with pytest.raises(UserError, match="not UTF-8"):
        relocate.back_up(rig.store, tmp_path / "\udcff.db")
