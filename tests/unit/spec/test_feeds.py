"""Sources other than folders in `stoker.toml`: what is made of them, and what is wrong with them."""

import pytest

from stoker.model.source import Command, Feed
from stoker.spec.canon import dump_pipeline, load_pipeline
from unit.spec.test_load import load, problems

STEP = '[pipelines.p.steps.s]\nrun = "true"\n'
RECORDS = '[pipelines.p]\nitems = "records"\n[pipelines.p.params]\nblock = {}\n' + STEP


def source(folder, text, head=RECORDS):
    loaded = load(folder, f"{head}[pipelines.p.sources.x]\n{text}\n")
    pipeline = loaded.pipelines["p"]
    assert load_pipeline(dump_pipeline(pipeline)).sources == pipeline.sources
    return loaded, pipeline.sources[0]


def test_a_table_and_a_list_are_believed_soon(tmp_path):
    _, table = source(tmp_path, 'table = "tables/*.tsv"')
    assert (table.kind, table.table, table.settle_s) == ("table", f"{tmp_path}/tables/*.tsv", 1.0)
    _, listing = source(tmp_path, 'list = "files.txt"\nsettle = "3s"')
    assert (listing.kind, listing.listing, listing.settle_s) == (
        "list",
        f"{tmp_path}/files.txt",
        3.0,
    )


def test_a_command_has_its_times(tmp_path):
    _, found = source(tmp_path, 'command = "ls"\nevery = "5m"')
    assert found.kind == "command"
    assert found.command == Command(text="ls", every_s=300.0, timeout_s=300.0)


def test_a_feed_has_its_selector_and_keeps_its_secret(tmp_path):
    loaded, found = source(
        tmp_path,
        'feed = "https://lab:${COUCH_PASSWORD}@host:5984/runs"\n'
        'selector = { status = "closed", "run.n" = { "$gte" = 3 } }\n'
        'params.block = "raw.block"',
    )
    assert found.kind == "feed"
    assert found.feed == Feed(
        url="https://lab:${COUCH_PASSWORD}@host:5984/runs",
        selector={"status": "closed", "run.n": {"$gte": 3}},
        params={"block": "raw.block"},
    )
    assert loaded.settings.secrets == ("COUCH_PASSWORD",), "no step gets to see it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('every = "3s"\ntable = "t"', "`every` is for a source with a `command`"),
        ('settle = "3s"\ncommand = "ls"', "`settle` is for a source with a `folder`"),
        ('glob = "*"\nlist = "t"', "`glob` is for a source with a `folder`"),
        ('selector = {a = 1}\nlist = "t"', "`selector` is for a source with a `feed`"),
        ('list = "a"\ntable = "b"', "must have one place to look at"),
        ('feed = "host/db"', "not the URL of a database; write `http://HOST:5984/DATABASE`"),
        ('feed = "http://host:5984"', "not the URL of a database"),
        ('feed = "http://host:5984/"', "not the URL of a database"),
        ('feed = "http://[::1/db"', "not the URL of a database"),
        ('feed = "http://me:hunter2@host/db"', "the password stands in the file"),
        ('feed = "http://h/db"\npassword_file = "p"', "does not say whose password"),
        ('feed = "http://h/db"\nstates.dun = "x"', "items have no state `dun`"),
        ('feed = "http://h/db"\nstates.done = " "', "the word is empty"),
        ('feed = "http://h/db"\nstates.done = "{key}"', "braces that are not `{step}`"),
        ('feed = "http://h/db"\nstates.done = "' + "x" * 201 + '"', "201 characters"),
        ('feed = "http://h/db"\nparams.blok = "x"', "no parameter `blok`; did you mean `block`?"),
        ('feed = "http://h/db"\npath = "x"', "are records, which have no path"),
        ('feed = "http://h/db"\nselector = {a = {"$gtt" = 1}}', "no `$gtt`; did you mean `$gt`?"),
        ('feed = "http://h/db"\nselector = {a = {"$gt" = nan}}', "is not a value of JSON"),
        ('feed = "http://h/db"\nselector = {a = [1, -inf]}', "is not a value of JSON"),
        ('feed = "http://h/db"\nselector = {a = 2026-11-30}', "is not a value of JSON"),
        ('feed = "http://h/db"\nselector = {"$or" = [{"$x" = 1}]}', "a selector has no `$x`"),
        ('command = "  "', "names no command"),
        ('feed = "http://h/db"\nselector = {a = {"$regex" = "("}}', "cannot be used as a pattern"),
    ],
    ids=lambda value: value if "=" in value else "",
)
def test_what_makes_no_sense_is_told_with_its_line(tmp_path, text, said):
    (found,) = problems(tmp_path, f"{RECORDS}[pipelines.p.sources.x]\n{text}\n")
    assert said in found
    assert "hunter2" not in found
    assert int(found.split(":")[1]) > RECORDS.count("\n")


@pytest.mark.parametrize("key", ["list", "command"])
def test_names_alone_give_no_required_parameter(tmp_path, key):
    head = RECORDS.replace("block = {}", "block = { required = true }")
    (found,) = problems(tmp_path, f'{head}[pipelines.p.sources.x]\n{key} = "x"\n')
    assert f"a {key} gives names only, and parameter `block` is required" in found


def test_a_document_is_no_file(tmp_path):
    (found,) = problems(tmp_path, f'{STEP}[pipelines.p.sources.x]\nfeed = "http://h/db"\n')
    assert "a document is not a file" in found
