"""`fields` and `parts`: which files are items, under which keys, found by a source or pushed."""

import json

import pytest

from stoker.errors import SpecError
from stoker.model.selection import Selection

PARTS = 'parts = ["R1", "R2"]'
READS = ["A1/r1_R1.fq", "A1/r1_R2.fq", "A2/r1_R1.fq", "A2/r1_R2.fq"]
OWN_KEY = 'key = "{meta.accession}/{meta.run}"'
CASES = {
    "of a name": ('fields = "{run}.dat"', "", ["x.dat", "sub/y.dat"],
        {"x.dat": "x.dat", "sub/y.dat": "sub/y.dat"}),
    "of a path": ('fields = "{accession}/{run}.fq"', "", ["A1/r1.fq"], {"A1/r1.fq": "A1/r1.fq"}),
    "of a path, with a key": ('fields = "{accession}/{run}.fq"', OWN_KEY, ["A1/r1.fq"], {"A1/r1": "A1/r1.fq"}),
    "parts": ('fields = "{run}_{part}.dat"\n' + PARTS, "", ["x_R1.dat", "x_R2.dat"], {"x": "x_R1.dat"}),
    "parts in folders": (
        'fields = "{accession}/{run}_{part}.fq"\n' + PARTS, "", READS,
        {"A1/r1": "A1/r1_R1.fq", "A2/r1": "A2/r1_R1.fq"},
    ),
    "parts in folders, with a key": (
        'fields = "{accession}/{run}_{part}.fq"\n' + PARTS, OWN_KEY, READS,
        {"A1/r1": "A1/r1_R1.fq", "A2/r1": "A2/r1_R1.fq"},
    ),
    "parts whose folder is their name": (
        'fields = "{accession}/{part}.fq"\n' + PARTS, "", ["A1/R1.fq", "A1/R2.fq"], {"A1": "A1/R1.fq"},
    ),
}  # fmt: skip
OTHERS = ["notes.txt", "A1/deep/r1_R1.fq", "A1/notes.txt", "A1/deep/r1.fqz"]


@pytest.fixture(params=CASES)
def case(request, yard):
    source, pipeline, files, found = CASES[request.param]
    yard.declare(f'settle = "0s"\n{source}', pipeline)
    for name in files + OTHERS:
        path = yard.incoming / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return yard, files, found


def paths(yard):
    """The path of each item in the source's folder, by its key."""
    items = yard.project.each_item(Selection())
    return {row.item: row.path.removeprefix(f"{yard.incoming}/") for row in items}


def test_fields_choose_the_files_and_a_push_finds_the_same_items(case, monkeypatch):
    yard, files, found = case
    assert yard.take().registered == len(found)
    assert paths(yard) == found
    for name in files:
        done = yard.project.push("p", str(yard.incoming / name))
        assert (done.known, done.untold, done.messages) == (1, 0, [])
    done = yard.project.push("p", str(yard.incoming))
    assert (done.registered, done.changed, done.refused) == (0, 0, 0)


def test_what_is_pushed_first_is_known_to_the_source(case):
    yard, files, found = case
    for name in files:
        assert not yard.project.push("p", str(yard.incoming / name)).messages
    assert paths(yard) == found
    done = yard.take()
    assert (done.registered, done.changed, done.conflicts, done.refused) == (0, 0, 0, 0)
    meta = [json.loads(row.meta) for row in yard.rows().values()]
    assert all({"run", "accession"} & set(one) for one in meta)


def test_a_pushed_path_that_is_not_named_like_that_is_refused(yard):
    yard.declare(f'settle = "0s"\nfields = "{{run}}_{{part}}.fq"\n{PARTS}')
    for name in ("other.fq", "x_R1.fq"):
        (yard.incoming / name).write_text(name)
    done = yard.project.push("p", [str(yard.incoming / name) for name in ("other.fq", "x_R1.fq")])
    assert done.refused == 2
    assert "`other.fq` is not named as source `incoming` has it" in done.messages[0]
    assert "its part `r2` is not there" in done.messages[1]


def test_a_pushed_folder_has_the_fields_of_its_name(yard):
    yard.declare('settle = "0s"\nfields = "{day}-{run}"', 'items = "folders"\nkey = "{meta.run}"')
    (yard.incoming / "mon-7").mkdir()
    assert yard.project.push("p", str(yard.incoming / "mon-7")).registered == 1
    assert yard.take().registered == 0
    assert yard.keys() == ["7"]


@pytest.mark.parametrize(
    ("source", "pipeline", "said"),
    [
        ('fields = "{part}/{run}.fq"\n' + PARTS, "", "so `{part}` is in the file's name"),
        ('fields = "{day}/{run}"', 'items = "folders"', "so `fields` has no slash"),
        ('fields = "/{run}"', "", "not an absolute path"),
    ],
)
def test_patterns_that_cannot_fit_are_mistakes(yard, source, pipeline, said):
    with pytest.raises(SpecError) as caught:
        yard.declare(source, pipeline)
    assert [said in str(problem) for problem in caught.value.problems] == [True]
