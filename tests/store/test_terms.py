"""The terms of attempts: names of secrets, kinds of pools and the retention, as the store has them."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from stoker.errors import VersionConflict
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import ShareBy, Shares
from stoker.model.sharing import Terms
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.orders.shared_settings import (
    SettingsChange,
    SharedSettings,
    set_settings,
)
from stoker.store.sharing import newest_sharing, retention_of
from store.rig import ME, set_pools

NOTHING = Retention()
YEAR = Retention(items={"done": 365 * 86_400.0}, journal=5.0)


def say(rig, *secrets, retention=NOTHING, set_by="h:/a", **more):
    said = SharedSettings(secrets=secrets, retention=retention)
    return set_settings(rig.store, said, set_by=set_by, actor=ME, **more).terms


def test_each_claim_is_on_the_terms_of_its_moment(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c", "d")
    worker = rig.worker()
    found = [rig.claim(worker)[0].terms]
    assert say(rig, "TOKEN") == ("secrets",)
    found.append(rig.claim(worker)[0].terms)
    set_pools(rig.store, [Pool(name="gpu", slots=("0",), kind="gpu")])
    found.append(rig.claim(worker)[0].terms)
    assert say(rig) == ("secrets",)
    set_pools(rig.store, [Pool(name="gpu", slots=("0",))])
    found.append(rig.claim(worker)[0].terms)
    bare = Terms(site="here")
    secret = replace(bare, secrets=("TOKEN",))
    assert found == [bare, secret, replace(secret, devices=("gpu",)), bare]


def test_what_is_the_same_or_only_rehearsed_changes_nothing(rig):
    assert say(rig, "A", "B", retention=YEAR) == ("secrets", "retention")
    assert say(rig, "B", "A", "A", retention=YEAR) == ()
    assert say(rig, "C", dry_run=True) == ("secrets", "retention")
    assert retention_of(rig.store) == YEAR
    assert say(rig, "A", "B") == ("retention",)
    assert retention_of(rig.store) == NOTHING


def test_a_file_from_elsewhere_hides_more_and_reveals_nothing(rig, pipeline, tmp_path):
    """Until `stoker apply` takes it over; the file that counts goes on as before."""
    first, other = (tmp_path / name for name in ("first", "other"))
    first.touch()
    one, two = f"h:{first}", f"h:{other}"
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c")
    say(rig, "A", "B", retention=YEAR, set_by=one)
    assert say(rig, "C", set_by=two, take_over=False) == ("secrets",)
    assert say(rig, "C", set_by=two, take_over=False) == ()
    worker = rig.worker()
    (task,) = rig.claim(worker)
    assert task.terms.secrets == ("A", "B", "C")
    assert retention_of(rig.store) == YEAR
    assert say(rig, "A", set_by=one, retention=YEAR, take_over=False) == ("secrets",)
    assert say(rig, "C", set_by=two, take_over=True) == ("secrets", "retention")
    (task,) = rig.claim(worker)
    assert task.terms.secrets == ("C",)
    assert say(rig, set_by=one, take_over=False) == ("secrets",), (
        "the other file is gone: it was moved"
    )
    (task,) = rig.claim(worker)
    assert task.terms.secrets == ()


def test_a_file_from_elsewhere_adds_pools_and_changes_none(rig, tmp_path):
    """It does not take those away either that it does not know; `stoker apply` does."""
    first = tmp_path / "first"
    first.touch()
    one, two = f"h:{first}", f"h:{tmp_path}/other"
    ram, gpu = Pool(name="ram", slots=("0", "1")), Pool(name="gpu", slots=("0",))
    by_user = Shares(by=ShareBy.USER)

    def tell(set_by, *pools, shares=None, **more):
        said = SharedSettings(pools=pools, shares=shares or Shares())
        return set_settings(rig.store, said, set_by=set_by, actor=ME, **more)

    def names():
        with rig.store.reading() as unit:
            return list(newest_sharing(unit).pools())

    assert [change.pool for change in tell(one, ram, shares=by_user).pools] == ["ram"]
    assert [change.pool for change in tell(two, gpu, take_over=False).pools] == ["gpu"]
    assert tell(two, take_over=False) == SettingsChange()
    assert names() == ["gpu", "ram"]
    with pytest.raises(VersionConflict, match=r"`ram`.*first"):
        tell(two, Pool(name="ram", slots=("0",)), take_over=False)
    with pytest.raises(VersionConflict, match="shares"):
        tell(two, shares=Shares(by=ShareBy.PIPELINE), take_over=False)
    assert names() == ["gpu", "ram"]
    assert tell(two, gpu).shares
    assert names() == ["gpu"]


def test_the_journal_says_who_changed_what_holds_for_all(rig):
    said = SharedSettings(pools=[Pool(name="ram", slots=("0",))], retention=YEAR)
    actor = Actor("ann", "a new server")
    set_settings(rig.store, said, set_by="h:/a", actor=actor)
    set_settings(rig.store, said, set_by="h:/a", actor=actor)
    with rig.store.reading() as unit:
        journal = tables.journal.c
        rows = unit.execute(select(journal.data).where(journal.event == "set_settings")).scalars()
        (told,) = map(json.loads, rows)
    assert told == {
        "tables": ["pools", "retention"], "set_by": "h:/a", "by": "ann", "reason": "a new server",
    }  # fmt: skip
