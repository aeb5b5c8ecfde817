"""Folders as sources: what is taken, when, and what is remembered."""

import json
import os
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from stoker.intake import seen_files as looks_module
from stoker.intake.checksums import Contents
from stoker.intake.complete import Completeness
from stoker.intake.read_folder import FolderReader
from stoker.intake.seen_files import FolderLooks
from stoker.intake.sources import files
from stoker.intake.sources import folder_look as folder_module
from stoker.intake.sources.source import Over
from stoker.model.source import TEMPORARY
from stoker.project.sources import take_sources
from stoker.store.actor import Actor
from stoker.store.arrivals import sources
from stoker.store.database import rebuild

QUICK = 'settle = "0.05s"'


def test_what_is_there_is_taken_once_it_has_settled(yard):
    yard.declare(QUICK)
    (yard.incoming / "deep").mkdir()
    for name in ("a.dat", "deep/b.dat"):
        (yard.incoming / name).write_text(name)
    assert yard.take().registered == 0, "one look says nothing about whether a file is complete"
    assert yard.source.standing.pending == 2
    yard.take_until(lambda: yard.keys() == ["a.dat", "deep/b.dat"])
    assert yard.source.standing.pending == 0
    assert yard.take().registered == 0


def test_a_file_that_goes_on_growing_is_left(yard):
    yard.declare('settle = "1h"')
    file = yard.incoming / "a.dat"
    file.write_text("a")
    for _ in range(3):
        yard.take()
        with file.open("a") as more:
            more.write("more")
    assert yard.keys() == []
    assert yard.source.standing.pending == 1


def test_a_file_renamed_into_place_is_taken_at_once(yard):
    yard.declare('settle = "1h"')
    yard.take()
    hidden = yard.incoming / ".a.dat.x7"
    hidden.write_text("whole")
    hidden.rename(yard.incoming / "a.dat")
    yard.take_until(lambda: yard.keys() == ["a.dat"])


def test_a_file_moved_in_from_another_folder_is_taken_at_once(yard):
    yard.declare('settle = "1h"')
    yard.take()
    made = yard.folder / "a.dat"
    made.write_text("whole")
    (yard.incoming / "new").mkdir()
    yard.take()
    made.rename(yard.incoming / "new" / "a.dat")
    yard.take_until(lambda: yard.keys() == ["new/a.dat"])


def test_a_file_renamed_from_one_item_to_another_must_settle(yard):
    yard.declare('settle = "1h"')
    yard.take()
    (yard.incoming / "a.dat").write_text("half")
    yard.take()
    (yard.incoming / "a.dat").rename(yard.incoming / "b.dat")
    for _ in range(3):
        yard.take()
    assert yard.keys() == []


def test_a_file_made_anew_after_its_rename_must_settle(yard):
    yard.declare('settle = "1h"')
    yard.take()
    (yard.incoming / ".a").write_text("whole")
    (yard.incoming / ".a").rename(yard.incoming / "a.dat")
    (yard.incoming / "a.dat").unlink()
    (yard.incoming / "a.dat").write_text("hal")
    for _ in range(3):
        yard.take()
    assert yard.keys() == []


@pytest.mark.parametrize(
    "name",
    ["a.part", "a.tmp", "a.temp", "a.filepart", "a.partial", "a.crdownload", "a.swp", "a~", ".a"],
)
def test_temporary_and_hidden_names_are_no_items(yard, name):
    yard.declare('settle = "0s"')
    (yard.incoming / name).write_text("half")
    (yard.incoming / "b.dat").write_text("b")
    yard.take_until(lambda: yard.keys() == ["b.dat"])
    assert yard.source.standing.pending == 0


def test_a_companion_says_when_a_file_is_complete(yard):
    yard.declare(f'{QUICK}\ncomplete_when = "{{item}}.done"')
    (yard.incoming / "a.dat").write_text("a")
    (yard.incoming / "b.dat").write_text("b")
    (yard.incoming / "b.dat.done").touch()
    yard.take_until(lambda: yard.keys() == ["b.dat"])
    assert yard.source.standing.pending == 1
    (yard.incoming / "a.dat.done").touch()
    yard.take_until(lambda: yard.keys() == ["a.dat", "b.dat"])


def test_a_manifest_says_when_files_are_complete_and_what_their_sums_are(yard):
    yard.declare(f'{QUICK}\nmanifest = "*.md5"')
    for name in ("a.dat", "b.dat", "c.dat"):
        (yard.incoming / name).write_text("text")
    good = "1cb251ec0d568de6a929b520c4aed8d1"
    lines = f"{good}  a.dat\n{'0' * 32} *b.dat\n{good}  c.da"  # the last line is being written
    (yard.incoming / "sums.md5").write_text(lines)
    yard.take_until(lambda: yard.keys() == ["a.dat", "b.dat"])
    found = yard.rows()
    assert found["a.dat"].reason is None
    assert "checksum" in found["b.dat"].reason
    assert yard.source.standing.pending == 1


def test_an_unchanged_folder_is_not_read_again(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "RACY_S", 0.0)
    monkeypatch.setattr(folder_module, "NOTICED_S", 0.0)
    yard.declare(QUICK)
    for name in ("one", "two"):
        (yard.incoming / name).mkdir()
        (yard.incoming / name / "a.dat").write_text(name)
    yard.take_until(lambda: len(yard.keys()) == 2)
    yard.take_until(lambda: not yard.source._followed.open)
    yard.begin()
    (yard.incoming / "two" / "b.dat").write_text("b")
    read = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: (read.append(str(path)), real(path))[1])
    yard.take()
    assert {path for path in read if path != str(yard.incoming)} == {str(yard.incoming / "two")}


def test_a_restart_goes_on_where_folders_were_not_finished(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "RACY_S", 0.0)
    monkeypatch.setattr(folder_module, "NOTICED_S", 0.0)
    yard.declare(QUICK)
    (yard.incoming / "deep").mkdir()
    (yard.incoming / "a.dat").write_text("a")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    (yard.incoming / "deep" / "b.dat").write_text("b")
    yard.take()
    yard.begin()
    yard.take_until(lambda: yard.keys() == ["a.dat", "deep/b.dat"])


def test_replaced_content_is_a_change(yard):
    yard.declare(QUICK)
    (yard.incoming / "a.dat").write_text("a")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    (yard.incoming / "a.dat").write_text("another")
    yard.take_until(lambda: yard.rows()["a.dat"].generation == 2)


PAIR = 'fields = "{run}_{part}.dat"\nparts = ["R1", "R2"]'
KINDS = {  # of items: how they are declared, and the files of one
    "file": ("", "", ["x"]),
    "group": (PAIR, "", ["x_R1.dat", "x_R2.dat"]),
    "folder": ("", 'items = "folders"', ["x/one", "x/deep/two"]),
}


def with_contents_known(yard, kind, pipeline=""):
    """Have the one item of this kind taken and read for its checksum; return its files."""
    source, items, names = KINDS[kind]
    yard.declare(f"{QUICK}\n{source}", f"{items}\n{pipeline}")
    files = [yard.incoming / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"the content of {file.name}")
    yard.take_until(lambda: yard.keys() == ["x"])
    read_contents(yard)
    return files


def read_contents(yard):
    over = Over()
    contents = Contents(yard.project.store, [yard.project.pipeline("p")])
    reader = threading.Thread(target=contents.follow, args=(over,))
    reader.start()
    try:
        yard.take_until(lambda: yard.rows()["x"].checksum is not None)
    finally:
        over.set()
        reader.join()
        over.close()


def look_again(yard):
    """As after a restart, with the folder to be read anew."""
    yard.begin()
    os.utime(yard.incoming)


def test_noting_checksums_is_rested_from_as_reading_is(yard, monkeypatch):
    noted = []

    def note(_store, read):
        time.sleep(0.05)
        noted.append(len(read))

    class Resting(list):
        def rest(self, seconds):
            self.append(seconds)

        def __bool__(self):
            return False

    monkeypatch.setattr(sources, "note_checksums", note)
    yard.declare(QUICK)
    (yard.incoming / "a.dat").touch()
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    over = Resting()
    pipeline = yard.project.pipeline("p")
    assert Contents(yard.project.store, [pipeline])._read_some(pipeline, over)
    assert noted == [1]
    assert sum(over) >= 9 * 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_touched_is_no_change_once_its_content_is_known(yard, kind):
    files = with_contents_known(yard, kind)
    before = yard.rows()["x"].fingerprint
    os.utime(files[-1], (2**32, 2**32))
    look_again(yard)
    yard.take_until(lambda: yard.rows()["x"].fingerprint != before)
    assert yard.rows()["x"].generation == 1
    files[-1].write_text(files[-1].read_text().upper())
    look_again(yard)
    yard.take_until(lambda: yard.rows()["x"].generation == 2)
    with yard.project.store.reading() as unit:
        assert list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit))) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_too_knows_what_was_only_touched(yard, kind):
    files = with_contents_known(yard, kind)
    before = yard.rows()["x"].fingerprint
    os.utime(files[-1], (2**32, 2**32))
    pipeline = yard.project.pipeline("p")
    taken = take_sources(
        yard.project.store, pipeline, Actor("tester"), project_folder=str(yard.folder)
    )
    assert (taken.changed, yard.rows()["x"].generation) == (0, 1)
    assert yard.rows()["x"].fingerprint != before


@pytest.mark.parametrize("kind", ["group", "folder"])
def test_content_that_changes_its_place_within_an_item_is_a_change(yard, kind):
    one, two = with_contents_known(yard, kind)
    contents = one.read_text(), two.read_text()
    one.write_text(contents[1])
    two.write_text(contents[0])
    look_again(yard)
    yard.take_until(lambda: yard.rows()["x"].generation == 2)


def test_a_folder_in_which_a_file_has_another_name_is_changed(yard):
    one, _ = with_contents_known(yard, "folder")
    one.rename(one.with_name("other"))
    look_again(yard)
    yard.take_until(lambda: yard.rows()["x"].generation == 2)


@pytest.mark.parametrize("kind", KINDS)
def test_other_parameters_are_a_change_whatever_the_content(yard, kind):
    with_contents_known(yard, kind, 'params.mass = { type = "integer", default = 1 }')
    source, items, _ = KINDS[kind]
    more = 'params.mass = { type = "integer", default = 2 }'
    yard.declare(f"{QUICK}\n{source}", f"{items}\n{more}")
    look_again(yard)
    yard.take_until(lambda: yard.rows()["x"].generation == 2)
    assert json.loads(yard.rows()["x"].params) == {"mass": 2}


@pytest.mark.parametrize("kind", ["group", "folder"])
def test_nothing_is_recorded_of_content_that_is_not_what_was_taken(yard, kind):
    source, items, names = KINDS[kind]
    yard.declare(f"{QUICK}\n{source}", items)
    files = [yard.incoming / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("one")
    yard.take_until(lambda: yard.keys() == ["x"])
    files[-1].write_text("two")
    os.utime(files[-1], (2**32, 2**32))
    over = Over()
    contents = Contents(yard.project.store, [yard.project.pipeline("p")])
    assert contents._read_some(yard.project.pipeline("p"), over)
    over.close()
    assert yard.rows()["x"].checksum is None


def test_an_empty_mount_point_is_trouble_and_nothing_is_forgotten(yard):
    yard.declare(QUICK)
    (yard.incoming / "a.dat").write_text("a")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    yard.incoming.rename(yard.folder / "away")
    yard.take()
    assert "there is no folder" in yard.about().trouble
    yard.incoming.mkdir()
    yard.take()
    assert "mounted" in yard.about().trouble
    yard.incoming.rmdir()
    (yard.folder / "away").rename(yard.incoming)
    (yard.incoming / "b.dat").write_text("b")
    yard.begin()
    yard.take_until(lambda: yard.keys() == ["a.dat", "b.dat"])
    assert yard.about().trouble is None
    assert yard.rows()["a.dat"].generation == 1


def test_a_link_is_followed_once_it_leads_somewhere_and_folders_are_not(yard):
    yard.declare(QUICK)
    (yard.incoming / "loop").symlink_to(yard.incoming)
    (yard.incoming / "a.dat").symlink_to(yard.folder / "real.dat")
    for _ in range(3):
        yard.take()
    assert yard.keys() == []
    (yard.folder / "real.dat").write_text("a")
    yard.begin()
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    assert yard.rows()["a.dat"].path == os.fsencode(yard.folder / "real.dat")


def test_files_that_belong_together_are_one_item(yard):
    fields = 'fields = "{run}_{part}.fastq"\nparts = ["R1", "R2"]'
    yard.declare(f"{QUICK}\n{fields}")
    for name in ("x1_R1.fastq", "x1_R2.fastq", "x2_R1.fastq", "notes.txt"):
        (yard.incoming / name).write_text(name)
    yard.take_until(lambda: yard.keys() == ["x1"])
    assert yard.source.standing.pending == 1
    row = yard.rows()["x1"]
    paths = {part: str(yard.incoming / f"x1_{part.upper()}.fastq") for part in ("r1", "r2")}
    assert json.loads(row.meta) == {"run": "x1", **paths}
    assert os.fsdecode(row.path) == paths["r1"]
    (yard.incoming / "x2_R2.fastq").write_text("late")
    yard.take_until(lambda: yard.keys() == ["x1", "x2"])
    (yard.incoming / "x1_R2.fastq").write_text("another one")
    yard.take_until(lambda: yard.rows()["x1"].generation == 2)


def test_what_is_incomplete_for_too_long_is_told(yard):
    yard.declare(f'{QUICK}\noverdue = "0.1s"\nfields = "{{run}}_{{part}}"\nparts = ["a", "b"]')
    (yard.incoming / "x_a").touch()
    yard.take_until(lambda: "`b`" in (yard.source.standing.trouble or ""))
    assert "its part `b` is not there" in yard.about().trouble


def test_fields_of_single_files_become_metadata_and_can_make_the_key(yard):
    yard.declare(f'{QUICK}\nfields = "{{run}}-{{number}}.dat"', 'key = "{meta.run}/{meta.number}"')
    (yard.incoming / "x-7.dat").touch()
    yard.take_until(lambda: yard.keys() == ["x/7"])
    assert json.loads(yard.rows()["x/7"].meta) == {"run": "x", "number": "7"}


def test_a_folder_is_an_item(yard):
    yard.declare(QUICK, 'items = "folders"')
    (yard.incoming / "run1" / "deep").mkdir(parents=True)
    (yard.incoming / "run1" / "deep" / "a").write_text("a")
    yard.take_until(lambda: yard.keys() == ["run1"])
    (yard.incoming / "run1" / "b").write_text("b")
    yard.take_until(lambda: yard.rows()["run1"].generation == 2)


UNFINISHED = [f"b.fq{suffix}" for suffix in TEMPORARY]


@pytest.mark.parametrize(
    "name", [*UNFINISHED, ".b.fq.X7s8d", ".b.fq.abcdeF", "deep/b.fq.part", "d.tmp/b"]
)
def test_a_folder_with_a_temporary_name_in_it_is_not_complete(yard, name):
    yard.declare(f"{QUICK}\noverdue = '0.01s'", 'items = "folders"')
    unfinished = yard.incoming / "run1" / name
    unfinished.parent.mkdir(parents=True)
    unfinished.write_text("half")
    yard.take_until(lambda: "is still being written" in (yard.source.standing.trouble or ""))
    assert yard.keys() == []
    top = yard.incoming / "run1" / name.split("/")[0] if "d.tmp" in name else unfinished
    top.rename(yard.incoming / "run1" / "b")
    yard.take_until(lambda: yard.keys() == ["run1"])


@pytest.mark.parametrize(
    "name", ["b.fq", ".hidden", ".config.json", ".b.fastq", "part", "x.temporary"]
)
def test_other_hidden_names_in_a_folder_keep_nothing_back(yard, name):
    yard.declare(QUICK, 'items = "folders"')
    (yard.incoming / "run1").mkdir()
    (yard.incoming / "run1" / name).write_text("x")
    yard.take_until(lambda: yard.keys() == ["run1"])


def test_a_run_does_not_wait_for_a_folder_that_holds_a_temporary_name(yard):
    yard.declare('settle = "0.05s"', 'items = "folders"')
    (yard.incoming / "run1").mkdir()
    (yard.incoming / "run1" / "b.part").write_text("half")
    (done,) = yard.project.take_sources()
    assert any("`b.part` in it has the name" in message for message in done.messages)


def test_a_run_that_waits_for_a_file_counts_it_once(yard):
    yard.declare('settle = "3s"')
    (yard.incoming / "a.dat").write_text("x")
    waits = []
    (done,) = yard.project.take_sources(on_wait=lambda *some: waits.append(some))
    assert waits
    assert (done.registered, done.known) == (1, 0)


def test_a_folder_renamed_into_place_is_an_item_at_once(yard):
    yard.declare('settle = "1h"', 'items = "folders"')
    yard.take()
    made = yard.folder / "made"
    made.mkdir()
    (made / "a").write_text("a")
    made.rename(yard.incoming / "run1")
    yard.take_until(lambda: yard.keys() == ["run1"])


def test_no_more_items_are_open_than_allowed(yard):
    yard.declare(f"{QUICK}\nmax_open = 3")
    for at in range(5):
        (yard.incoming / f"{at}.dat").touch()
    yard.take_until(lambda: len(yard.keys()) == 3)
    for _ in range(3):
        yard.take()
    assert len(yard.keys()) == 3
    assert "max_open" in yard.about().trouble
    yard.project.cancel(*yard.keys())
    yard.take_until(lambda: len(yard.keys()) == 5)


def test_there_is_room_again_for_names_that_were_told_of(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    yard.declare('settle = "1h"\nmax_open = 1')
    yard.take()
    for at in range(3):
        renamed_into_place(yard.incoming, f"{at}.dat")
    for n in (1, 2, 3):
        yard.take_until(lambda n=n: len(yard.keys()) == n)
        yard.project.cancel(*yard.keys())


def renamed_into_place(folder, name):
    hidden = folder / f".{name}"
    hidden.write_text(name)
    hidden.rename(folder / name)


def test_files_renamed_into_place_together_are_looked_at_once_each(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    yard.declare('settle = "1h"')
    yard.take()
    names = [f"{at}.dat" for at in range(50)]
    for name in names:
        renamed_into_place(yard.incoming, name)
    seen = looked_at(yard, monkeypatch)
    kept = []
    keep = FolderLooks.keep
    monkeypatch.setattr(FolderLooks, "keep", lambda *given: (kept.append(1), keep(*given))[1])
    assert yard.take().registered == 50
    assert seen == Counter(names)
    assert len(kept) < 5, "what is pending is to be gone through once for all of them"


def looked_at(yard, monkeypatch):
    """Return how often each file is looked at from now on."""
    seen = Counter()
    real = FolderReader._see

    def see(self, folder, name):
        seen[name] += 1
        return real(self, folder, name)

    monkeypatch.setattr(FolderReader, "_see", see)
    return seen


def test_of_many_that_are_pending_only_those_that_may_have_settled_are_looked_at(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    clock = SimpleNamespace(us=10**12)
    for module in (folder_module, looks_module):
        monkeypatch.setattr(module, "now_us", lambda: clock.us)
    yard.declare('settle = "1h"')
    yard.take()
    for name in ("first.dat", "second.dat"):
        (yard.incoming / name).touch()
        yard.take()
        clock.us += 1_800 * 10**6
    seen = looked_at(yard, monkeypatch)
    yard.take()
    assert seen == {"first.dat": 1}
    assert yard.keys() == ["first.dat"]


def test_what_happens_during_a_look_at_all_is_heard_during_it(yard, monkeypatch):
    yard.declare('settle = "1h"')
    for name in ("one", "two"):
        (yard.incoming / name).mkdir()
    real = os.scandir

    def scandir(path):
        if os.path.basename(path) in ("one", "two"):
            monkeypatch.setattr(os, "scandir", real)
            renamed_into_place(yard.incoming, "a.dat")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    yard.take()
    assert yard.source._folder.notices.is_due(time.monotonic())


class Rested:
    """Instead of the end: hears for how long a source would rest for notices; then the end has come."""

    def __init__(self):
        self.seconds = []

    def __bool__(self):
        return bool(self.seconds)

    def rest(self, seconds, *descriptors):
        if descriptors:
            self.seconds.append(seconds)


class Busy:
    """Something happens whenever notices are waited for; hears of all rests."""

    def __init__(self, folder):
        self.folder = folder
        self.rests = []

    def __bool__(self):
        return len(self.rests) > 1_000

    def rest(self, seconds, *descriptors):
        self.rests.append((seconds, len(descriptors)))
        if descriptors:
            (self.folder / f"{len(self.rests)}.dat").touch()
        else:
            time.sleep(max(0.0, seconds))


def test_where_much_happens_it_is_gathered(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    yard.declare('settle = "1h"')
    yard.take()
    over = Busy(yard.incoming)
    yard.source.rest(over)
    (seconds, waits_for), *others = over.rests
    assert (waits_for, seconds <= files.APART_S) == (0, True)
    assert len(others) < 50, "each of the changes was heard alone"


@pytest.mark.parametrize("items", ["files", "folders"])
@pytest.mark.parametrize("wrong", ["absent", "a file"])
def test_a_folder_that_cannot_be_read_is_looked_for_without_haste(yard, monkeypatch, items, wrong):
    yard.incoming.rmdir()
    if wrong == "a file":
        yard.incoming.touch()
    yard.declare(QUICK, f'items = "{items}"')
    yard.take()
    assert yard.about().trouble is not None
    over = Rested()
    yard.source.rest(over)
    assert over.seconds
    assert over.seconds[0] > 1


def test_a_folder_that_goes_while_something_was_told_of_it_is_looked_for_without_haste(yard):
    yard.declare('settle = "1h"')
    yard.take()
    renamed_into_place(yard.incoming, "a.dat")
    yard.source._folder.notices.listen()
    yard.incoming.rename(yard.folder / "away")
    yard.take()
    over = Rested()
    yard.source.rest(over)
    assert over.seconds
    assert over.seconds[0] > 1


def test_another_folder_in_its_place_is_watched(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    yard.declare('settle = "1h"')
    yard.take()
    renamed_into_place(yard.incoming, "a.dat")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    yard.incoming.rename(yard.folder / "away")
    yard.incoming.mkdir()
    (yard.incoming / "b.dat").touch()
    yard.take()
    renamed_into_place(yard.incoming, "c.dat")
    yard.take_until(lambda: yard.keys() == ["a.dat", "c.dat"])


def rested(yard, monkeypatch):
    """All is taken, and the folder is remembered as it is."""
    monkeypatch.setattr(folder_module, "RACY_S", 0.0)
    monkeypatch.setattr(folder_module, "NOTICED_S", 0.0)
    yard.declare('settle = "0s"')
    (yard.incoming / "a.dat").write_text("a")
    yard.take_until(lambda: yard.keys() == ["a.dat"])
    yard.take_until(lambda: not yard.source._followed.open)
    yard.source.close()


def test_what_was_rewritten_in_place_while_nobody_looked_is_a_change(yard, monkeypatch):
    rested(yard, monkeypatch)
    (yard.incoming / "a.dat").write_text("another")
    yard.begin()
    yard.take_until(lambda: yard.rows()["a.dat"].generation == 2)


def test_a_run_sees_what_was_rewritten_in_place(yard, monkeypatch):
    rested(yard, monkeypatch)
    for text in ("another", "a third one"):
        (yard.incoming / "a.dat").write_text(text)
        (done,) = yard.project.take_sources()
        assert done.changed == 1


def test_what_was_renamed_into_place_may_be_overdue_too(yard):
    yard.declare('settle = "1h"\noverdue = "0.1s"\ncomplete_when = "{item}.done"')
    yard.take()
    renamed_into_place(yard.incoming, "a.dat")
    yard.take_until(lambda: "a.dat.done` is not there" in (yard.source.standing.trouble or ""))


def test_what_is_gone_lacks_nothing(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 0.0)
    yard.declare(f'{QUICK}\noverdue = "0.1s"\ncomplete_when = "{{item}}.done"')
    for name in ("a.dat", "b.dat"):
        (yard.incoming / name).touch()
    yard.take_until(lambda: "a.dat" in (yard.source.standing.trouble or ""))
    (yard.incoming / "a.dat").unlink()
    yard.take_until(lambda: "a.dat" not in (yard.source.standing.trouble or ""))
    assert "b.dat" in yard.source.standing.trouble


def test_a_folder_that_is_incomplete_for_too_long_is_told(yard):
    yard.declare(f'{QUICK}\noverdue = "0.1s"\ncomplete_when = "{{item}}/DONE"', 'items = "folders"')
    (yard.incoming / "run1").mkdir()
    yard.take_until(lambda: "run1/DONE` is not there" in (yard.source.standing.trouble or ""))
    assert "incomplete for" in yard.about().trouble


def test_a_companion_in_another_folder_is_not_waited_for_as_if_it_were_told_of(yard, monkeypatch):
    monkeypatch.setattr(folder_module, "NOTICED_S", 1e6)
    monkeypatch.setattr(folder_module, "UNNOTICED_S", 0.0)
    yard.declare(f'{QUICK}\ncomplete_when = "../done/{{name}}"')
    yard.take()
    (yard.incoming / "a.dat").touch()
    yard.take_until(lambda: yard.source._followed.reader.lacks)
    yard.source._followed.times.next_s = 0.0
    yard.take()
    (yard.folder / "done").mkdir()
    (yard.folder / "done" / "a.dat").touch()
    yard.take_until(lambda: yard.keys() == ["a.dat"])


@pytest.mark.parametrize("at_s", [-(10**12), 10**13])
def test_a_file_of_a_year_that_no_calendar_has_keeps_nothing_back(yard, monkeypatch, at_s):
    real = os.stat

    def stat(path, **more):
        found = real(path, **more)
        if not str(path).endswith("odd.dat"):
            return found
        times = {"st_mtime_ns": at_s * 10**9, "st_ctime_ns": found.st_ctime_ns}
        return os.stat_result([*found[:8], at_s, found[9]], times)

    yard.declare(QUICK)
    for name in ("odd.dat", "plain.dat"):
        (yard.incoming / name).touch()
    monkeypatch.setattr(os, "stat", stat)
    yard.take_until(lambda: yard.keys() == ["odd.dat", "plain.dat"])
    (odd,) = [item for item in yard.project.items() if item.item == "odd.dat"]
    assert odd.modified_at is not None


@pytest.mark.parametrize("items", ["files", "folders"])
def test_a_last_write_that_comes_with_the_companion_is_no_change_afterwards(
    yard, monkeypatch, items
):
    real = Completeness.lack
    file = yard.incoming / ("a.dat" if items == "files" else "run1/a.dat")

    def lack(self, path):
        if "half" in file.read_text():  # it has been looked at, and is not whole yet
            file.write_text("whole")
            (yard.incoming / f"{os.path.basename(path)}.done").touch()
        return real(self, path)

    yard.declare(f'{QUICK}\ncomplete_when = "{{item}}.done"', f'items = "{items}"')
    file.parent.mkdir(exist_ok=True)
    file.write_text("half")
    monkeypatch.setattr(Completeness, "lack", lack)
    yard.take_until(yard.keys)
    (row,) = yard.rows().values()
    assert row.size_bytes == len("whole"), "what was registered was not there any more"
