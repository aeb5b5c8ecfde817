"""Names that no way in may take: folders in lists of files, the whole file system, the project itself."""

import pytest

from stoker.errors import SpecError
from stoker.intake.couch import Change
from stoker.intake.sources.feed import FeedSource
from stoker.intake.sources.source import Refusal
from stoker.model.selection import Selection
from stoker.project import open_project

HOLDS = "holds this project"
WHOLE = "is the whole file system"
FOLDER = "is a folder; the items of pipeline `p` are files"
BAD = {
    "files": {"sub": FOLDER, "/": FOLDER},
    "folders": {"..": HOLDS, ".": HOLDS, "loop": HOLDS, "/": WHOLE},
}
SOURCES = {"list": 'list = "names.txt"', "command": 'command = "cat names.txt"',
           "table": 'table = "names.tsv"'}  # fmt: skip
WAYS = ["from", "from0", "table option", "feed", *SOURCES]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The folder of a project with a folder in it, which is where we are."""
    folder = tmp_path / "lab"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.dat").write_text("x")
    (folder / "loop").symlink_to(".")
    monkeypatch.chdir(folder)
    return folder


def declare(folder, items, source=""):
    source = f"[pipelines.p.sources.s]\n{source}\nsettle = '0s'\n" if source else ""
    if "command" in source or "feed" in source:
        source = source.replace("settle = '0s'\n", "")
    text = f"[pipelines.p]\nitems = '{items}'\n{source}[pipelines.p.steps.s]\nrun = 'true'\n"
    (folder / "stoker.toml").write_text(text)
    return open_project(folder)


class Documents:
    """A database whose documents name paths."""

    url = "http://127.0.0.1:1/d"

    def __init__(self, paths):
        self.left = [Change(str(number), {"path": path}) for number, path in enumerate(paths)]

    def newest(self):
        return 0

    def changes(self, since, *, limit):
        some, self.left = self.left, []
        return (some, 1) if some else ([], since)


def come_in(project, way):
    """What is said of the names in our files, which come in this way."""
    if way in SOURCES:
        (done,) = project.take_sources()
        return done.messages
    given = {"from": {"from_file": "names.txt"}, "from0": {"from_file": "names.nul", "nul": True},
             "table option": {"table": "names.tsv"}}  # fmt: skip
    return project.push("p", **given[way]).messages


def come_from_feed(project, folder, names):
    """What a feed says of documents that have these names."""
    pipeline = project.pipeline("p")
    feed = pipeline.sources[0].feed
    source = FeedSource(project.store, pipeline, "s", feed, project_folder=str(folder))
    source._couch = Documents(names)
    source._writer.write = lambda _keys: None
    return [find.message for find in source.look({}) if isinstance(find, Refusal)]


@pytest.mark.parametrize("items", BAD)
@pytest.mark.parametrize("way", WAYS)
def test_a_name_that_stands_for_too_much_is_refused_whatever_way_it_comes(lab, way, items):
    bad = BAD[items]
    (lab / "names.txt").write_text("".join(f"{name}\n" for name in bad))
    (lab / "names.nul").write_text("".join(f"{name}\0" for name in bad))
    (lab / "names.tsv").write_text("path\n" + "".join(f"{name}\n" for name in bad))
    feed = 'feed = "http://127.0.0.1:1/d"\npath = "path"\n'
    with declare(lab, items, feed if way == "feed" else SOURCES.get(way, "")) as project:
        project.apply()
        of_feed = way == "feed"
        messages = come_from_feed(project, lab, bad) if of_feed else come_in(project, way)
        assert not list(project.each_item(Selection()))
    for said, message in zip(bad.values(), messages, strict=False):
        assert said in message
    assert len(messages) >= len(bad)


def test_a_folder_that_is_pushed_stands_for_its_files_unless_it_holds_the_project(lab):
    with declare(lab, "files") as project:
        done = project.push("p", ["..", "/", "."])
        assert [row.item for row in project.each_item(Selection())] == ["sub/a.dat"]
    assert done.refused == 2
    assert HOLDS in done.messages[0]
    assert WHOLE in done.messages[1]


@pytest.mark.parametrize(
    ("items", "folder", "exclude", "said"),
    [
        ("files", "/", "", "the whole file system is not a source"),
        ("files", "/", "exclude = ['**']", "the whole file system is not a source"),
        ("files", "..", "", HOLDS),
        ("folders", "..", "", HOLDS),
        ("files", "up", "", HOLDS),
        ("files", "..", "exclude = ['sub/**']", HOLDS),
        ("files", "..", "exclude = ['lab/**']", ["b.dat"]),
        ("folders", "..", "exclude = ['lab']", ["other"]),
        ("files", ".", "", ["sub/a.dat"]),
        ("folders", ".", "exclude = ['up']", ["sub"]),
    ],
)
def test_a_source_does_not_hold_the_project_unless_it_leaves_it_out(
    lab, items, folder, exclude, said
):
    (lab.parent / "b.dat").write_text("x")
    (lab.parent / "other").mkdir()
    (lab / "loop").unlink()
    (lab / "up").symlink_to("..")
    declared = f'folder = "{folder}"\n{exclude}'
    if isinstance(said, list):
        with declare(lab, items, declared) as project:
            project.apply()
            done = project.take_sources()
            assert not any(one.refused or one.conflicts for one in done)
            assert [row.item for row in project.each_item(Selection())] == said
    else:
        with pytest.raises(SpecError) as caught:
            declare(lab, items, declared)
        assert [said in str(problem) for problem in caught.value.problems] == [True]


def test_records_whose_bytes_are_not_utf8_are_refused_with_their_line(lab):
    (lab / "names.txt").write_bytes("Pen1\ngrün\n".encode("latin-1"))
    with declare(lab, "records") as project:
        done = project.push("p", from_file="names.txt")
        assert [row.item for row in project.each_item(Selection())] == ["Pen1"]
    assert (
        "`names.txt`, line 2: has bytes that are not UTF-8 (in Latin-1 they are `grün`"
        in (done.messages[0])
    )


def test_rows_that_were_refused_before_are_counted_in_every_later_run(lab):
    declare(lab, "records", "table = 'names.tsv'").close()
    with (lab / "stoker.toml").open("a") as file:
        file.write("[pipelines.p.params]\nn = { type = 'integer' }\n")
    (lab / "names.tsv").write_text("name\tn\na\t1\nb\tx\nc\ty\n")
    with open_project(lab) as project:
        project.apply()
        (first,) = project.take_sources("p")
    assert (first.registered, first.refused, len(first.messages)) == (1, 2, 2)
    with open_project(lab) as project:
        (later,) = project.take_sources("p")
    assert (later.registered, later.refused) == (0, 2)
    (message,) = later.messages
    assert message.endswith("2 rows are refused; `names.tsv.report` says why")
