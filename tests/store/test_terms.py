"""The terms of attempts: names of secrets, kinds of pools and the retention, as the store has them."""

from stoker.model.settings import Pool, Retention
from stoker.model.task import Terms
from stoker.store.holdings import pools
from stoker.store.orders import attempt_terms

NOTHING = Retention()
YEAR = Retention(items={"done": 365 * 86_400.0}, journal=5.0)


def say(rig, *secrets, retention=NOTHING, set_by="h:/a", **more):
    return attempt_terms.set_terms(
        rig.store, secrets=secrets, retention=retention, set_by=set_by, **more
    )


def test_each_claim_is_on_the_terms_of_its_moment(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c", "d")
    worker = rig.worker()
    found = [rig.claim(worker)[0].terms]
    assert say(rig, "TOKEN") == ("secrets",)
    found.append(rig.claim(worker)[0].terms)
    pools.set_pools(rig.store, [Pool(name="gpu", slots=("0",), kind="gpu")])
    found.append(rig.claim(worker)[0].terms)
    assert say(rig) == ("secrets",)
    pools.set_pools(rig.store, [Pool(name="gpu", slots=("0",))])
    found.append(rig.claim(worker)[0].terms)
    both = Terms(secrets=("TOKEN",), devices=("gpu",))
    assert found == [Terms(), Terms(secrets=("TOKEN",)), both, Terms()]


def test_what_is_the_same_or_only_rehearsed_changes_nothing(rig):
    assert say(rig, "A", "B", retention=YEAR) == ("secrets", "retention")
    assert say(rig, "B", "A", "A", retention=YEAR) == ()
    assert say(rig, "C", dry_run=True) == ("secrets", "retention")
    assert attempt_terms.retention_of(rig.store) == YEAR
    assert say(rig, "A", "B") == ("retention",)
    assert attempt_terms.retention_of(rig.store) == NOTHING


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
    assert attempt_terms.retention_of(rig.store) == YEAR
    assert say(rig, "A", set_by=one, retention=YEAR, take_over=False) == ("secrets",)
    assert say(rig, "C", set_by=two, take_over=True) == ("secrets", "retention")
    (task,) = rig.claim(worker)
    assert task.terms.secrets == ("C",)
    assert say(rig, set_by=one, take_over=False) == ("secrets",), (
        "the other file is gone: it was moved"
    )
    (task,) = rig.claim(worker)
    assert task.terms.secrets == ()
