"""Tables: which rows become items, and what is said of the others."""

import io

import pytest

from stoker.errors import UserError
from stoker.intake.pushed import Listing
from stoker.intake.table import table_items
from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline

BLOCK = Param(name="block", required=True, pattern="Pen.*")
OMIT = Param(name="omit", type=ParamType.LIST, items=ParamType.INTEGER)
GAIN = Param(name="gain", type=ParamType.NUMBER, default=1.0, minimum=0, maximum=5)
MODE = Param(name="mode", type=ParamType.CHOICE, choices=("quick", "thorough"))


def read(text, *, items=ItemKind.RECORDS, folder="/", given=None, params=(BLOCK, OMIT, GAIN, MODE)):
    """The items as `line, key, given values`, and what was refused."""
    refused = []
    pipeline = Pipeline(name="sort", folder=folder, steps=(), items=items, params=params)
    listing = Listing(pipeline, project_folder=folder, refuse=refused.append, given=given)
    content = text if isinstance(text, bytes) else text.encode()
    lines = []
    made = table_items(
        listing,
        io.BytesIO(content),
        name="t",
        folder=folder,
        on_row=lambda line, item: lines.append(line),
    )
    taken = [(item.key, item.params) for item in made]
    return [(line, *item) for line, item in zip(lines, taken, strict=True)], refused


def keys(text, **more):
    taken, refused = read(text, **more)
    return [(line, key) for line, key, _ in taken], refused


def test_every_bad_cell_of_a_row_is_named_and_the_other_rows_are_taken():
    taken, refused = read(
        "block\tomit\tgain\tmode\nPen1\t3,5\t2\tquick\nPen2\t3,x\t7\tqick\nPun3\t\t\t\nPen4\t\t\t\n"
    )
    assert [(line, key) for line, key, _ in taken] == [(2, "Pen1"), (5, "Pen4")]
    assert taken[0][2] == {"block": "Pen1", "omit": [3, 5], "gain": 2.0, "mode": "quick"}
    assert refused == [
        '`t`, line 3, column `omit`: must be a whole number, not "x"',
        "`t`, line 3, column `gain`: is 7 and must be at most 5",
        "`t`, line 3, column `mode`: is `qick`, which is none of its choices; did you mean `quick`?",
        "`t`, line 4, column `block`: is `Pun3`, which `Pen.*` does not match as a whole",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "block,gain\nPen1,2\nPen2,3\n",
        "block;gain\nPen1;2\nPen2;3\n",
        "block\tgain\r\nPen1\t2\r\nPen2\t3\r\n",
        "block\tgain\rPen1\t2\rPen2\t3",
        "\ufeffblock,gain\nPen1,2\nPen2,3\n",
        "block,gain\nPen1,2\nPen2,3\n".encode("utf-16"),
        '"block","gain"\n"Pen1","2"\n"Pen2","3"\n',
        "block,gain,,\nPen1,2,,\n,,,\nPen2,3,,\n",
        "\n\n block , gain \n Pen1 , 2 \n\n Pen2 , 3 \n",
    ],
    ids=["comma", "semicolon", "crlf", "cr", "bom", "utf16", "quotes", "wide", "blanks"],
)
def test_whatever_a_spreadsheet_makes_of_it_is_read(text):
    taken, refused = read(text)
    assert [(key, params["gain"]) for _, key, params in taken] == [("Pen1", 2.0), ("Pen2", 3.0)]
    assert not refused


def test_a_cell_may_hold_lines_and_the_rows_after_it_keep_their_numbers():
    taken, refused = read('block,omit,#remark\nPen1,"3,4","two\n\nlines ""quoted"""\nPen2,,\n')
    assert [(line, key) for line, key, _ in taken] == [(2, "Pen1"), (5, "Pen2")]
    assert taken[0][2]["omit"] == [3, 4]
    assert not refused


def test_a_forgotten_quote_spoils_its_own_row_only():
    text = 'block,#remark\nPen1,"never closed\nPen2,fine\nPen3,"good"\nPen4,"a"b\nPen5,\n'
    taken, refused = keys(text)
    assert taken == [(3, "Pen2"), (4, "Pen3"), (6, "Pen5")]
    assert [message[:12] for message in refused] == ["`t`, line 2:", "`t`, line 5:"]
    assert all("quote" in message for message in refused)


def test_a_quote_that_nothing_closes_does_not_swallow_the_rest():
    text = 'block,#remark\nPen1,"never\n' + "".join(f"Pen{n},\n" for n in range(2, 3000))
    taken, refused = keys(text)
    assert len(taken) == 2998
    (message,) = refused
    assert message.startswith("`t`, line 2: a quote is opened and never closed")


def test_a_row_cut_short_is_refused():
    taken, refused = keys("block\tgain\nPen1\t2\nPen2")
    assert taken == [(2, "Pen1")]
    assert refused == ["`t`, line 3: 1 columns where there are 2 titles"]


def test_one_item_has_one_row():
    taken, refused = keys("block,gain\nPen1,2\nPen2,2\nPen1,3\nPen2,2.0\n")
    assert taken == [(2, "Pen1"), (3, "Pen2"), (5, "Pen2")]
    assert refused == [
        "`t`, line 4: the item `Pen1` has line 2 already, with other values; leave one of them"
    ]


def test_a_row_names_its_item():
    taken, refused = keys("block,gain\n,2\n")
    assert not taken
    assert refused == ["`t`, line 2, column `block`: is empty; it names the item"]


def test_bytes_that_are_no_utf8_are_shown():
    _, refused = keys("block,mode\nPen1,größe\n".encode("latin-1"))
    (message,) = refused
    assert "line 2, column `mode`" in message
    assert "`größe`" in message
    assert "save the table as UTF-8" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (",,\n1,2,3\n", "has no titles"),
        ("block,gain,gain\n", "two columns `gain`"),
        ("block,gian\n", "column `gian` resembles the parameter `gain`; rename the column"),
        ("gain,mode\n", "no column `block`, which pipeline `sort` requires; add it"),
        (
            "\n\nblok,mode\n",
            "line 3: there is no column `block`, which pipeline `sort` requires; is",
        ),
    ],
    ids=["empty", "blank", "untitled", "doubled", "misspelt", "missing", "misspelt_first"],
)
def test_a_header_that_cannot_be_believed_ends_the_reading(text, said):
    with pytest.raises(UserError, match="the table `t`") as caught:
        read(text)
    assert said in str(caught.value)


def test_what_is_given_for_all_rows_needs_no_column():
    taken, _ = keys("name\nx\n", given={"block": "Pen1"})
    assert taken == [(2, "x")]


def test_a_file_that_is_not_there_is_refused_with_the_nearest_name(tmp_path):
    for name in ("Pen1.dat", "Pen22.dat"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_text("x")
    taken, refused = keys(
        "file\nraw/Pen1.dat\nraw/Pen2.dat\n",
        items=ItemKind.FILES,
        folder=str(tmp_path),
        params=(),
    )
    assert taken == [(2, "raw/Pen1.dat")]
    (message,) = refused
    assert message.startswith("`t`, line 3, column `file`: ")
    assert message.endswith("did you mean `raw/Pen22.dat`?")


def test_a_name_of_a_file_may_be_any_bytes(tmp_path):
    name = b"caf\xe9.dat"
    with open(bytes(tmp_path) + b"/" + name, "w"):
        pass
    taken, refused = keys(
        b"file\n" + name + b"\n", items=ItemKind.FILES, folder=str(tmp_path), params=()
    )
    assert taken == [(2, "caf%E9.dat")]
    assert not refused
