"""Tables and lists that people edit: when they are read, what is answered, what is remembered."""

import os

import pytest

from stoker.intake.sources import edited_file
from stoker.intake.sources.edited_file import EditedSource
from stoker.intake.sources.source import Mark, Over, Refusal
from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline
from stoker.model.source import Source
from stoker.store.arrivals.counts import Registered

PARAMS = (
    Param(name="block", required=True),
    Param(name="gain", type=ParamType.NUMBER, default=1.0, maximum=5),
)


class Desk:
    """A person's folder, and Stoker looking at it."""

    def __init__(self, folder, *, items=ItemKind.RECORDS, params=PARAMS, **places):
        self.folder = folder
        self.items, self.params = items, params
        self.places = {key: str(folder / place) for key, place in places.items()}
        self.cursor = {}
        self.conflicts = []
        self.restart()

    def restart(self, **changes):
        params = changes.get("params", self.params)
        pipeline = Pipeline(
            name="sort", folder=str(self.folder), steps=(), items=self.items, params=params
        )
        declared = Source(name="blocks", settle_s=0.0, **self.places)
        self.source = EditedSource(
            pipeline,
            declared,
            project_folder=str(self.folder),
            is_staying=changes.get("is_staying", True),
        )

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def look(self):
        """The keys found and the refusals, each mark kept as the taking loop keeps it."""
        keys, refused = [], []
        self.said = []
        for find in self.source.look(self.cursor):
            if isinstance(find, Mark):
                find.done = Registered(messages=list(self.conflicts))
                self.cursor = find.cursor
            elif isinstance(find, Refusal):
                refused.append(find.message)
            elif isinstance(find, Registered):
                self.said += find.messages
            else:
                keys.append(find.key)
        return keys, refused

    def report(self, name):
        return (self.folder / f"{name}.report").read_text().splitlines()


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path, table="t.tsv")


def test_an_answer_lies_beside_the_table(desk):
    desk.write("t.tsv", "block\tgain\nPen1\t2\nPen2\t7\n\nPen3\t\n")
    keys, refused = desk.look()
    assert keys == ["Pen1", "Pen3"]
    assert refused == ["`t.tsv`, line 3, column `gain`: is 7 and must be at most 5"]
    first, *rest = desk.report("t.tsv")
    assert first.startswith("t.tsv, as saved on ")
    assert first.endswith(": 2 taken, 1 refused")
    assert rest == [
        "",
        "Refused. Put these right and save the file:",
        "  line 3, column `gain`: is 7 and must be at most 5",
        "",
        "Taken:",
        "  line 2: Pen1",
        "  line 5: Pen3",
    ]
    assert desk.source.standing.trouble == refused[0]
    assert desk.source.standing.refused == 1


def test_the_same_is_said_of_a_table_as_long_as_it_is_the_same(desk):
    desk.write("t.tsv", "block\tgain\nPen1\tx\nPen2\t9\n")
    _, refused = desk.look()
    said = desk.source.standing.trouble
    assert said.splitlines() == refused
    desk.look()
    assert desk.source.standing.trouble == said
    desk.restart()
    desk.look()
    assert desk.source.standing.trouble.startswith("`t.tsv`: 2 rows are refused; `t.tsv.report`")


def test_many_refused_rows_are_summed_up(desk):
    desk.write("t.tsv", "block\tgain\n" + "".join(f"P{n}\tx\n" for n in range(30)))
    _, refused = desk.look()
    assert len(refused) == 30
    assert "30 rows are refused; `t.tsv.report` says why" in desk.source.standing.trouble
    assert desk.source.standing.refused == 30


def test_a_row_with_several_mistakes_is_one_row(desk):
    desk.restart(params=(*PARAMS, Param(name="mode", required=True)))
    desk.write("t.tsv", "block\tgain\tmode\nPen1\tx\t\nPen2\t9\tm\nPen3\t2\tm\n")
    desk.look()
    lines = desk.report("t.tsv")
    assert lines[0].endswith(": 1 taken, 2 refused")
    assert [line[:17] for line in lines if line.startswith("  line 2")] == ["  line 2, column "] * 2
    assert desk.source.standing.refused == 2


def test_a_table_is_read_again_only_when_it_was_changed(desk):
    desk.write("t.tsv", "block\nPen1\n")
    assert desk.look() == (["Pen1"], [])
    report = (desk.folder / "t.tsv.report").stat()
    assert desk.look() == ([], [])
    desk.restart()
    assert desk.look() == ([], [])
    os.utime(desk.folder / "t.tsv", ns=(1, 1))
    assert desk.look() == (["Pen1"], [])
    assert (desk.folder / "t.tsv.report").stat().st_ino != report.st_ino
    os.chmod(desk.folder / "t.tsv", 0o640)
    report = (desk.folder / "t.tsv.report").stat()
    assert desk.look() == (["Pen1"], [])
    assert (desk.folder / "t.tsv.report").stat().st_ino == report.st_ino, "it says the same"


def test_what_is_refused_stays_trouble_until_it_is_right(desk):
    desk.write("t.tsv", "block\tgain\nPen1\tx\n")
    desk.look()
    desk.restart()
    desk.look()
    assert "1 row is refused" in desk.source.standing.trouble
    desk.write("t.tsv", "block\tgain\nPen1\t2\n")
    assert desk.look() == (["Pen1"], [])
    assert desk.source.standing.trouble is None


def test_other_rules_read_the_table_again(desk):
    desk.write("t.tsv", "block\tgain\nPen1\t7\n")
    assert len(desk.look()[1]) == 1
    desk.restart(params=(PARAMS[0], Param(name="gain", type=ParamType.NUMBER)))
    assert desk.look() == (["Pen1"], [])


def test_removed_lines_are_told_and_remembered(desk):
    desk.write("t.tsv", "block\nPen1\nPen2\nPen3\n")
    desk.look()
    desk.restart()
    desk.write("t.tsv", "block\nPen3\n")
    assert desk.look() == (["Pen3"], [])
    text = "\n".join(desk.report("t.tsv"))
    assert "1 taken, 0 refused, 2 removed" in text
    assert "  Pen1\n  Pen2" in text
    desk.write("t.tsv", "block\nPen3\nPen1\nPen4\n")
    desk.look()
    text = "\n".join(desk.report("t.tsv"))
    assert "3 taken, 0 refused, 1 removed" in text


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (
            "a b,b,c,d,e",
            "a row was removed; its item stays (f); `stoker cancel --pipeline sort f` gives up",
        ),
        ("b,c,d", "their items stay (a b, e, f); `stoker cancel --pipeline sort 'a b' e f` gives"),
        ("b", "5 rows were removed; their items stay (`t.tsv.report` names them); `stoker cancel"),
    ],
)
def test_a_run_says_once_what_to_do_about_items_without_a_row(desk, caplog, kept, said):
    desk.write("t.tsv", "block\na b\nc\nd\ne\nf\nb\n")
    desk.restart(is_staying=False)
    desk.look()
    assert desk.said == []
    rows = "".join(f"{key}\n" for key in kept.split(","))
    desk.write("t.tsv", f"block\n{rows}")
    desk.look()
    assert len(desk.said) == 1
    assert said in desk.said[0]
    assert caplog.messages == []
    desk.look()
    assert desk.said == []


def test_a_service_logs_items_that_have_lost_their_row(desk, caplog):
    desk.write("t.tsv", "block\nPen1\nPen2\n")
    desk.look()
    desk.write("t.tsv", "block\nPen1\n")
    desk.look()
    assert desk.said == []
    assert "a row was removed; its item stays (Pen2)" in caplog.text


def test_a_row_that_is_refused_now_was_not_removed(desk):
    desk.write("t.tsv", "block\tgain\nPen1\t1\nPen2\t1\n")
    desk.look()
    desk.write("t.tsv", "block\tgain\nPen1\tx\nPen2\t1\n")
    desk.look()
    assert "removed" not in "\n".join(desk.report("t.tsv"))
    desk.write("t.tsv", "block\tgain\nPen2\t1\n")
    desk.look()
    assert "1 removed" in desk.report("t.tsv")[0]


def test_a_header_that_cannot_be_believed_takes_nothing_and_removes_nothing(desk):
    desk.write("t.tsv", "block\tgain\nPen1\t1\n")
    desk.look()
    desk.write("t.tsv", "block\tgian\nPen1\t1\n")
    keys, refused = desk.look()
    assert keys == []
    assert refused == [desk.source.standing.trouble]
    assert "0 taken, 1 refused" in desk.report("t.tsv")[0]
    assert "  line 1: column `gian` resembles the parameter `gain`" in "\n".join(
        desk.report("t.tsv")
    )
    desk.write("t.tsv", "block\tgain\nPen1\t1\n")
    desk.look()
    assert "removed" not in "\n".join(desk.report("t.tsv"))


def test_what_registering_had_against_a_row_is_in_the_answer(desk):
    desk.write("t.tsv", "block\nPen1\nPen2\n")
    desk.conflicts = ["`Pen1` is known with other content and `on_change` is `fail`"]
    desk.look()
    report = desk.report("t.tsv")
    assert report[0].endswith("1 taken, 1 refused")
    assert "  line 2: `Pen1` is known with other content" in "\n".join(report)
    assert "  line 2: Pen1" not in report


def test_a_table_that_is_being_saved_is_not_read(desk, monkeypatch):
    monkeypatch.setattr(edited_file, "UNFINISHED_S", 3600.0)
    desk.source._settle_s = 3600.0
    desk.write("t.tsv", "block\nPen1\n")
    assert desk.look() == ([], [])
    assert desk.source.standing.pending == 1
    desk.source._settle_s = 0.0
    desk.write("t.tsv", "")
    assert desk.look() == ([], []), "an editor empties a file before it writes"
    desk.write("t.tsv", "block\nPen1\nPen2")
    assert desk.look() == ([], []), "the last line may be half a line"
    monkeypatch.setattr(edited_file, "UNFINISHED_S", 0.0)
    assert desk.look() == (["Pen1", "Pen2"], [])


def test_a_table_that_changes_while_it_is_read_waits(desk, monkeypatch):
    desk.write("t.tsv", "block\nPen1\n")
    truly = edited_file.Path.read_bytes

    def read_bytes(path):
        content = truly(path)
        desk.write("t.tsv", "block\nPen1\nPen2\n")
        return content

    monkeypatch.setattr(edited_file.Path, "read_bytes", read_bytes)
    assert desk.look() == ([], [])
    monkeypatch.undo()
    assert desk.look() == (["Pen1", "Pen2"], [])


def test_a_folder_of_tables_has_an_answer_for_each(tmp_path):
    desk = Desk(tmp_path, table="tables/*")
    desk.write("tables/a.tsv", "block\nPen1\n")
    desk.write("tables/b.csv", "block\nPen2\n")
    for name in (".~lock.a.tsv#", "~$a.tsv", "a.tsv~", ".a.tsv.swp", "c.tsv.tmp"):
        desk.write(f"tables/{name}", "block\nPen9\n")
    assert desk.look() == (["Pen1", "Pen2"], [])
    assert desk.look() == ([], []), "a report is no table"
    desk.write("tables/a.tsv", "block\n")
    desk.write("tables/c.tsv", "block\nPen1\n")
    assert desk.look() == (["Pen1"], [])
    assert "1 removed" in desk.report("tables/a.tsv")[0]


def test_a_file_that_is_not_there_is_told_and_awaited(desk):
    assert desk.look() == ([], [])
    assert "there is no file" in desk.source.standing.trouble
    desk.write("t.tsv", "block\nPen1\n")
    assert desk.look() == (["Pen1"], [])


def test_a_name_that_cannot_be_read_is_trouble_and_no_loop(desk):
    (desk.folder / "t.tsv").mkdir()
    _, refused = desk.look()
    assert "is not a file, but a folder" in refused[0]
    assert desk.look() == ([], [])
    assert "is not a file, but a folder" in desk.source.standing.trouble


def test_an_answer_that_cannot_be_written_does_not_matter(desk):
    (desk.folder / "t.tsv.report" / "x").mkdir(parents=True)
    desk.write("t.tsv", "block\nPen1\n")
    assert desk.look() == (["Pen1"], [])


def test_rest_ends_when_a_table_was_saved(desk):
    desk.write("t.tsv", "block\nPen1\n")
    desk.look()
    desk.write("t.tsv", "block\nPen1\nPen2\n")
    over = Over()
    desk.source.rest(over)
    assert desk.look() == (["Pen1", "Pen2"], [])
    over.set()
    desk.source.rest(over)
    over.close()


@pytest.mark.parametrize("end", ["\n", "\0"], ids=["lines", "nul"])
def test_a_list_names_files_and_each_missing_one_is_told(tmp_path, end):
    desk = Desk(tmp_path, items=ItemKind.FILES, params=(), listing="raw/files.txt")
    desk.write("raw/one.dat", "x")
    desk.write("raw/two.dat", "x")
    names = ["one.dat", "tow.dat", str(tmp_path / "raw" / "two.dat")]
    desk.write("raw/files.txt", "".join(name + end for name in names))
    keys, refused = desk.look()
    assert keys == ["raw/one.dat", "raw/two.dat"]
    (message,) = refused
    assert message.startswith("`raw/files.txt`, line 2: ")
    assert message.endswith("is not there; did you mean `two.dat`?")
    assert desk.source.standing.trouble == message
    assert "  line 3: raw/two.dat" in desk.report("raw/files.txt")


def test_a_name_that_was_missing_is_looked_for_again(tmp_path, monkeypatch):
    desk = Desk(tmp_path, items=ItemKind.FILES, params=(), listing="files.txt")
    desk.write("files.txt", "late.dat\n")
    assert len(desk.look()[1]) == 1
    desk.write("late.dat", "x")
    assert desk.look() == ([], [])
    monkeypatch.setattr(edited_file, "_AGAIN_S", 0.0)
    assert desk.look() == (["late.dat"], [])
    assert desk.source.standing.trouble is None


@pytest.mark.parametrize("table", ["t.tsv", "t*.tsv"])
def test_what_a_folder_is_called_is_no_pattern(tmp_path, table):
    folder = tmp_path / "run[1]*"
    folder.mkdir()
    desk = Desk(folder, table=table)
    desk.write("t1.tsv" if "*" in table else "t.tsv", "block\nPen1\n")
    assert desk.look() == (["Pen1"], [])


def test_who_wrote_more_than_there_is_room_for_has_an_answer_already(desk):
    desk.write("t.tsv", "block\tgain\nPen1\t1\nPen2\t2\nPen3\tx\n")
    finds = desk.source.look({})
    assert next(finds).key == "Pen1"
    finds.close()
    report = desk.report("t.tsv")
    assert report[0].endswith("2 good, 1 refused")
    assert any("line 4, column `gain`" in line for line in report)
    assert "Good, and not all taken yet:" in report
    assert desk.look()[0] == ["Pen1", "Pen2"]
    assert desk.report("t.tsv")[0].endswith("2 taken, 1 refused")


@pytest.mark.parametrize("kind", ["list", "table"])
def test_a_named_pipe_is_trouble_and_is_never_opened(tmp_path, kind):
    place = {"list": {"listing": "names"}, "table": {"table": "names"}}[kind]
    desk = Desk(tmp_path, params=(), **place)
    os.mkfifo(tmp_path / "names")
    keys, (message,) = desk.look()
    assert not keys
    assert message.startswith(f"`{tmp_path}/names` is not a file, but a named pipe")
