"""Tables as people keep them: without a header, with blanks, with titles and columns of their own."""

import io

import pytest

from stoker.errors import UserError
from stoker.intake.pushed import Listing
from stoker.intake.table import Table
from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline
from stoker.model.source import TableForm

BLOCK = Param(name="block", required=True)
OMIT = Param(name="omit", type=ParamType.LIST, items=ParamType.INTEGER)
GAIN = Param(name="gain", type=ParamType.NUMBER, default=1.0)


class Reader:
    """Reads a text as the table of a pipeline."""

    def __init__(self, params=(BLOCK, OMIT), key=None):
        self.pipeline = Pipeline(
            name="sort", folder="/", steps=(), items=ItemKind.RECORDS, params=params, key=key
        )
        self.refused = []

    def __call__(self, text, *, key_title=None, **form):
        content = text if isinstance(text, bytes) else text.encode()
        listing = Listing(self.pipeline, project_folder="/", refuse=self.refused.append)
        self.table = Table(
            listing,
            io.BytesIO(content),
            name="t",
            folder="/",
            form=TableForm(**form),
            key_title=key_title,
        )
        return [item for _, item in self.table.items()]


@pytest.fixture
def read():
    return Reader()


def test_a_labs_own_file_without_a_header_is_read(read):
    text = "# our blocks\nPen1  1,2,3\nPen2\nPen3 \t 4\n\n# Pen9 7\n  Pen4 5,6\n"
    items = read(text, columns=("block", "omit"))
    assert [(item.key, item.params["omit"]) for item in items] == [
        ("Pen1", [1, 2, 3]),
        ("Pen3", [4]),
        ("Pen4", [5, 6]),
    ]
    assert (read.table.skipped, read.refused) == (1, [])


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("Pen1\t1,2\nPen2\t3\n", "\t"),
        ("Pen1;1,2\nPen2;3\n", ";"),
        ("Pen1 1,2,3\nPen2 3\n", " "),
        ("Pen1,1\nPen2,3\n", ","),
        ("Pen1,1\nPen2,3 # seldom\n", ","),
    ],
)
def test_the_separator_is_the_one_that_makes_the_columns(read, text, separator):
    items = read(text, columns=("block", "#rest"))
    assert read.table._records.separator == separator
    assert [item.key for item in items] == ["Pen1", "Pen2"]


def test_commas_are_in_the_fields_where_a_parameter_is_a_list(read):
    (item,) = read("Pen1 3,4\n", columns=("block", "omit"))
    assert item.params == {"block": "Pen1", "omit": [3, 4]}


def test_a_separator_that_could_be_two_is_asked_for():
    read = Reader(params=(BLOCK, GAIN))
    with pytest.raises(UserError, match='set the source\'s `separator` to "," or " "'):
        read("Pen 1,1\nPen 2,3\n", columns=("block", "gain"))
    assert [item.key for item in read("Pen 1,1\n", columns=("block", "gain"), separator=",")] == [
        "Pen 1"
    ]


def test_a_file_in_which_nothing_makes_the_columns_is_refused_as_a_whole(read):
    with pytest.raises(UserError, match="no separator makes the 3 columns"):
        read("Pen1\nPen2\n", columns=("block", "omit", "x"))


@pytest.mark.parametrize(
    ("head", "row"), [("block omit", "Pen1 3,4"), ("block   omit ", "Pen1\t3,4")]
)
def test_a_header_with_blanks_is_recognised_by_the_line_after_it(read, head, row):
    (item,) = read(f"{head}\n{row}\n")
    assert item.params == {"block": "Pen1", "omit": [3, 4]}


def test_a_quoted_cell_among_blanks_is_one_cell():
    read = Reader(params=(BLOCK,))
    items = read('"Pen 1"   x\nPen2 "a b"\n', columns=("block", "note"), separator=" ")
    assert [(item.key, item.meta["note"]) for item in items] == [("Pen 1", "x"), ("Pen2", "a b")]


def test_titles_of_the_lab_stand_for_parameters(read):
    (item,) = read(
        "Sample_ID,Omit these\nPen1,3\n", titles={"block": "Sample_ID", "omit": "Omit these"}
    )
    assert item.params == {"block": "Pen1", "omit": [3]}
    assert item.meta == {}
    with pytest.raises(UserError, match="no column `Sample`, which holds the parameter `block`"):
        read("Sample_ID\nPen1\n", titles={"block": "Sample"})


def test_other_columns_go_into_meta(read):
    (item,) = read("block,Run Type,#for us,2nd,Größe\nPen1,calib,x,b,3\n")
    assert item.meta == {"run_type": "calib", "column_2nd": "b", "gr_e": "3"}
    (item,) = read("block,面积\nPen1,3\n")
    assert item.meta == {"column_2": "3"}


def test_two_titles_with_one_name_are_refused(read):
    with pytest.raises(UserError, match=r"`Run Type` and `run-type` would both be `meta.run_type`"):
        read("block,Run Type,run-type\nPen1,a,b\n")


@pytest.mark.parametrize("title", ["Omit", "omitt", "OMIT"])
def test_a_title_that_resembles_a_parameter_is_refused(read, title):
    with pytest.raises(UserError, match=f"column `{title}` resembles the parameter `omit`"):
        read(f"block,{title}\nPen1,3\n")


def test_titles_behind_a_comment_sign_are_not_lost_in_silence(read):
    with pytest.raises(UserError, match="are the titles in the line before it"):
        read("#block\tomit\nPen1\t3\nPen2\t4\n")
    assert len(read("# made by hand\nblock\tomit\nPen1\t3\n")) == 1


def test_the_key_stays_with_its_column_when_the_columns_are_exchanged():
    read = Reader(params=(OMIT,))
    (item,) = read("name,run\nPen1,a\n")
    assert (item.key, read.table.key_title) == ("Pen1", "name")
    (item,) = read("run,name\na,Pen1\n", key_title="name")
    assert (item.key, item.meta["run"]) == ("Pen1", "a")
    (item,) = read("run,title\na,Pen1\n", key_title="name")
    assert item.key == "a"


def test_meta_that_the_pipeline_names_is_content_and_other_is_not():
    read = Reader(key="{params.block}-{meta.run}")
    (before,) = read("block,run,note\nPen1,a,x\n")
    (noted,) = read("block,run,note\nPen1,a,y\n")
    (other,) = read("block,run,note\nPen1,b,x\n")
    assert before.key == "Pen1-a"
    assert before.fingerprint == noted.fingerprint != other.fingerprint
    assert before.content != other.content


def test_a_participants_file_is_read_and_what_is_not_known_is_missing():
    read = Reader(params=(Param(name="age", type=ParamType.INTEGER), Param(name="sex")))
    items = read("participant_id\tage\tsex\tsite\nsub-01\t34\tF\tA\nsub-02\tn/a\tn/a\tB\n")
    assert [(item.key, item.params) for item in items] == [
        ("sub-01", {"age": 34, "sex": "F"}),
        ("sub-02", {"age": None, "sex": "n/a"}),
    ]
    assert items[0].meta == {"participant_id": "sub-01", "site": "A"}


SHEET = """[Header],,,
Investigator Name,Anna,,
[Reads],,,
151,,,
[BCLConvert_Data],,,
Sample_ID,index,Lane,
s1,ACGT,1,
s2,TTTT,2,
[Cloud_Settings],,,
x,y,,
"""


def test_a_sample_sheet_is_read_from_its_data_section():
    read = Reader(params=(Param(name="sample"), Param(name="lane", type=ParamType.INTEGER)))
    items = read(SHEET, titles={"sample": "Sample_ID", "lane": "Lane"})
    assert [(item.key, item.params["lane"], item.meta) for item in items] == [
        ("s1", 1, {"index": "ACGT"}),
        ("s2", 2, {"index": "TTTT"}),
    ]
    with pytest.raises(UserError, match=r"a sample sheet without a section `\[Data\]`"):
        read("[Header],\nx,1\n")


def test_a_million_columns_are_refused_at_once(read):
    with pytest.raises(UserError, match="has 1,000,001 columns and 10,000 are allowed"):
        read("block" + ",x" * 1_000_000 + "\n")


# --------------------------------------------------------------------------------- spreadsheets


def workbook(rows):
    """Return a small .xlsx file with one sheet of texts and numbers."""
    import zipfile

    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return "<c/>" if value is None else f"<c><v>{value}</v></c>"

    space = "http://schemas.openxmlformats.org"
    sheet = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
    files = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{space}/officeDocument/2006/relationships/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{space}/spreadsheetml/2006/main" '
        f'xmlns:r="{space}/officeDocument/2006/relationships"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{space}/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{space}/spreadsheetml/2006/main">'
        f"<sheetData>{sheet}</sheetData></worksheet>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in files.items():
            book.writestr(name, text)
    return packed.getvalue()


def test_a_spreadsheet_is_read_by_its_first_sheet():
    read = Reader(params=(BLOCK, GAIN))
    content = workbook(
        [["block", "gain", "note"], ["Pen1", 2, "a"], [None, None], ["Pen2", 2.5, None]]
    )
    items = read(content)
    assert [(item.key, item.params["gain"], item.meta) for item in items] == [
        ("Pen1", 2.0, {"note": "a"}),
        ("Pen2", 2.5, {}),
    ]


def test_a_spreadsheet_without_a_header_has_the_declared_columns():
    read = Reader(params=(BLOCK, GAIN))
    items = read(workbook([["Pen1", 2], ["Pen2", 3]]), columns=("block", "gain"))
    assert [(item.key, item.params["gain"]) for item in items] == [("Pen1", 2.0), ("Pen2", 3.0)]


@pytest.mark.parametrize("content", [b"PK\x03\x04 nothing", b"\xd0\xcf\x11\xe0" + b"\0" * 600])
def test_a_broken_spreadsheet_is_refused_in_words(read, content):
    with pytest.raises(UserError, match="cannot be read as a spreadsheet"):
        read(content)


def test_a_spreadsheet_that_unpacks_to_too_much_is_refused(read):
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book, book.open("x", "w") as inner:
        for _ in range(1100):
            inner.write(b"\0" * (1 << 20))
    with pytest.raises(UserError, match="too large; save its table as CSV"):
        read(packed.getvalue())


def test_without_the_library_the_message_names_both_ways_out(read, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UserError, match=r"save it as CSV, or install .*stoker\[excel\]"):
        read(workbook([["block"], ["Pen1"]]))
