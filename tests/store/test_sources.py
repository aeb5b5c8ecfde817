"""What sources remember, and items in quarantine, on every database."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.item import NewItem
from stoker.model.saying import NOTHING, Saying, mark_of
from stoker.model.selection import Selection
from stoker.model.source import Source
from stoker.store import journal_fold, tables
from stoker.store.arrivals import quarantine, sources
from stoker.store.arrivals.register import register
from stoker.store.orders import verbs
from stoker.store.reports import overview
from store.rig import ME, broken_promises

ALL = Selection()


@pytest.fixture
def source(rig, pipeline):
    declared = (Source(name="incoming", folder="/data"), Source(name="other", folder="/more"))
    rig.apply(replace(pipeline(a=(), b=("a",)), sources=declared))
    return sources.find_source(rig.store, "line", "incoming", kind="folder")


def item(key, content="1:1", **more):
    return NewItem(
        key=key, path=f"/data/{key}", fingerprint=content, size_bytes=1, mtime_us=1, **more
    )


def test_a_cursor_is_what_it_was_set_to_until_the_kind_changes(store, source):
    assert source.cursor == {}
    sources.advance(store, source, cursor={"since": "7-x"}, folders=[(b"a", "1")])
    again = sources.find_source(store, "line", "incoming", kind="folder")
    assert (again.id, again.cursor) == (source.id, {"since": "7-x"})
    other = sources.find_source(store, "line", "incoming", kind="feed")
    assert (other.id, other.cursor) == (source.id, {})
    assert list(sources.folders_of(store, source)) == []


def test_a_source_that_was_taken_out_of_the_file_leaves_the_status(rig, source, pipeline):
    sources.find_source(rig.store, "line", "other", kind="feed")
    sources.find_source(rig.store, "line", "other progress", kind="progress")
    assert [one.source for one in overview.status(rig.store).sources] == [
        "incoming", "other", "other progress",
    ]  # fmt: skip
    kept = (Source(name="incoming", folder="/data"),)
    rig.apply(replace(pipeline(a=(), b=("a",)), sources=kept))
    assert [one.source for one in overview.status(rig.store).sources] == ["incoming"]


def test_a_source_of_no_pipeline_is_refused(store, source):
    with pytest.raises(NotFound, match="stoker apply"):
        sources.find_source(store, "nosuch", "incoming", kind="folder")


def test_folders_are_remembered_changed_and_forgotten(store, source):
    long = b"x" * 3000 + b"\xff"
    sources.advance(store, source, folders=[(b"", "1"), (b"a", ""), (long, "3")])
    sources.advance(store, source, folders=[(b"a", "2"), (b"", None)])
    found = [folder for page in sources.folders_of(store, source) for folder in page]
    assert sorted(found) == [(b"a", "2"), (long, "3")]
    assert sources.stamps_of(store, source, [b"", b"a", b"b"]) == {b"a": "2"}
    assert sources.stamps_of(store, source, []) == {}


def test_where_there_is_nothing_to_remember_nothing_is_written(store, source, monkeypatch):
    monkeypatch.setattr(type(store), "writing", None)
    sources.advance(store, source)


def test_a_checksum_is_noted_of_the_content_that_was_read(store, source):
    register(store, "line", [item("a"), item("b")], ME)
    one, two = sources.unread(store, "line", after=0)
    changed = two._replace(fingerprint="another")
    sources.note_checksums(store, [(one, "xxh3:1"), (changed, "xxh3:2")])
    assert [left.id for left in sources.unread(store, "line", after=0)] == [two.id]


def test_many_folders_come_in_pages(store, source, monkeypatch):
    monkeypatch.setattr(sources, "_PAGE", 3)
    folders = [(f"f{at}".encode(), str(at)) for at in range(10)]
    sources.advance(store, source, folders=folders)
    pages = list(sources.folders_of(store, source))
    assert max(map(len, pages)) == 3
    assert sorted(folder for page in pages for folder in page) == sorted(folders)


def test_status_tells_how_a_source_stands(store, source):
    sources.conclude(store, source, taken=3, pending=2, pending_for_s=60, trouble="nothing there")
    sources.conclude(store, source, taken=4, pending=2, pending_for_s=70, trouble=None)
    (row,) = overview.status(store).sources
    assert (row.pipeline, row.source, row.taken, row.pending, row.trouble) == (
        "line", "incoming", 7, 2, None,
    )  # fmt: skip
    assert (row.looked_at - row.pending_since).total_seconds() == pytest.approx(70)


def test_what_is_known_of_items_is_their_fingerprint(store, source):
    register(store, "line", [item("a"), item("ä b", "2:2")], ME)
    found = sources.fingerprints(store, source.pipeline_id, ["a", "ä b", "c"])
    assert found == {"a": "1:1", "ä b": "2:2"}


def said(gain, *, by_person=False, content="1:1"):
    """An item with a parameter; by a person, or by a folder for which it is the default."""
    mark = mark_of({"gain": 1})
    saying = Saying(settings={"gain": 1}) if by_person else NOTHING
    return item("a", f"{content}{mark}", params={"gain": gain}, mark=mark, saying=saying)


def test_what_a_person_set_stands_and_the_journal_knows_it(rig, store, source):
    steps = [
        (said(1), (1, 0, 0), 1),
        (said(42, by_person=True), (0, 0, 1), 42),
        (said(1), (0, 1, 0), 42),
        (said(42, by_person=True), (0, 1, 0), 42),
        (said(1, content="2:2"), (0, 0, 1), 42),
        (said(1, by_person=True, content="2:2"), (0, 0, 1), 1),
        (said(1, content="2:2"), (0, 1, 0), 1),
    ]
    for one, counts, gain in steps:
        done = register(store, "line", [one], ME)
        assert (done.registered, done.known, done.changed) == counts
        with store.reading() as unit:
            found = unit.execute(select(tables.item.c.params)).scalar_one()
        assert json.loads(found) == {"gain": gain}
        rig.check()


def test_a_value_that_a_person_gives_again_is_noted_and_nothing_is_done_anew(rig, store, source):
    register(store, "line", [said(1)], ME)
    assert register(store, "line", [said(1, by_person=True)], ME).known == 1
    later = mark_of({"gain": 2})
    other = item("a", f"1:1{later}", params={"gain": 2}, mark=later)
    assert register(store, "line", [other], ME).known == 1
    assert "touch" in rig.events()
    rig.check()


def test_items_of_a_limited_source_count_until_they_are_at_an_end(rig, store, source):
    register(store, "line", [item("a"), item("b"), item("c")], ME, source_id=source.id)
    register(store, "line", [item("d")], ME)
    assert sources.open_items(store, source, most=100) == 3
    assert sources.open_items(store, source, most=2) == 2
    verbs.cancel(store, Selection(keys=("a",)), ME)
    journal_fold.fold(store)
    assert sources.open_items(store, source, most=100) == 2


def test_an_item_with_a_reason_has_no_tasks_until_it_comes_without(rig, store, source):
    bad = register(store, "line", [item("a", reason="empty"), item("b")], ME)
    assert (bad.registered, bad.quarantined) == (1, 1)
    assert "empty" in bad.messages[0]
    counts = overview.status(store).pipelines["line"]
    assert (counts.items["quarantined"], sum(counts.tasks.values())) == (1, 2)
    (row,) = quarantine.reasons(store, ALL)
    assert (row.cause, row.step, row.n, row.examples) == ("empty", None, 1, ("a",))
    assert register(store, "line", [item("a", reason="empty")], ME).known == 1
    assert register(store, "line", [item("a", reason="bad header")], ME).quarantined == 1
    assert [row.cause for row in quarantine.reasons(store, ALL)] == ["bad header"]
    assert register(store, "line", [item("a", "2:2")], ME).registered == 1
    counts = overview.status(store).pipelines["line"]
    assert (counts.items["quarantined"], sum(counts.tasks.values())) == (0, 4)
    assert quarantine.reasons(store, ALL) == []
    worker = rig.worker()
    assert sorted(one.key for one in rig.claim(worker, limit=4)) == ["a", "b"]
    assert broken_promises(store) == []


def test_a_new_step_has_no_task_for_an_item_in_quarantine(rig, store, source, pipeline):
    register(store, "line", [item("a", reason="empty")], ME)
    rig.apply(pipeline(a=(), b=("a",), c=("b",)))
    with store.reading() as unit:
        assert unit.execute(select(tables.task)).all() == []
    assert broken_promises(store) == []


def test_new_content_that_cannot_be_taken_leaves_the_item_as_it_is(store, source):
    register(store, "line", [item("a")], ME)
    done = register(store, "line", [item("a", "2:2", reason="bad header")], ME)
    assert (done.refused, done.changed) == (1, 0)
    assert "bad header" in done.messages[0]
    assert register(store, "line", [item("a")], ME).known == 1


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (Selection(), ["a", "b"]),
        (Selection(states=("quarantined",)), ["a", "b"]),
        (Selection(states=("failed",)), ["a", "b"]),
        (Selection(states=("done",)), []),
        (Selection(steps=("a",)), []),
        (Selection(keys=("b",)), ["b"]),
        (Selection(match="HEAD"), ["b"]),
        (Selection(where="key == 'a'"), ["a"]),
        (Selection(pipeline="line", from_key="b"), ["b"]),
    ],
    ids=str,
)
def test_items_in_quarantine_are_selected_like_others(store, source, selection, found):
    register(
        store, "line", [item("a", reason="empty"), item("b", reason="bad head"), item("c")], ME
    )
    chosen = quarantine.quarantined(store, selection) if quarantine.is_about(selection) else []
    assert [one.item.key for page in chosen for one in page] == found
