"""`[web]`, `[pipelines.P.web]`, `[pipelines.P.results]` and the words of parameters and outputs."""

import dataclasses

import pytest

from stoker.errors import SpecError
from stoker.model.offer import results_of
from stoker.model.web import PipelineWeb, Result, WebSettings
from stoker.spec.canon import dump_pipeline, interface_hash, load_pipeline, pipeline_body_hash
from stoker.spec.load import load_project
from stoker.spec.web import find_web_cautions

CONTRACT = """
[web]
url = "https://lab.example.org/stoker"
origins = ["https://lab.example.org"]
anonymous = "viewer"
user_header = "X-Remote-User"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "::1"]
outbound = ["*.ebi.ac.uk", "lims.lab", "192.168.1.7"]
uploads = "in"
[pipelines.search]
title = "Protein search"
description = "Finds **homologues** of a protein."
[pipelines.search.params]
evalue = { type = "number", default = 1e-3, minimum = 0, title = "E-value", unit = "", description = "d", section = "Filter", example = 1 }
matrix = { type = "path", media = "text/plain", validate = { max_size = "1M", command = ["m", "{item}"] } }
tags = { type = "list", items = "string", max_length = 8, min_items = 1, max_items = 3 }
pictures = { type = "list", items = "path", media = ["image/png", "image/*"] }
[pipelines.search.web]
public = true
wait = "10s"
example = { item = "examples/globin.fasta", evalue = 1e-5 }
max_open = 5
per_minute = 30
max_upload = "50M"
keep = "14d"
[pipelines.search.results]
hits = "outputs.search.table"
best = "values.search.best"
[pipelines.search.steps.search]
run = "hmmsearch -E {params.evalue} --tblout {out.table} {item} /db/pfam"
outputs.table = { to = "results/{key}.txt", media = "text/plain", title = "Table of hits" }
outputs.log = { to = "results/{key}.log", temp = true }
"""


def load(folder, text):
    (folder / "stoker.toml").write_text(text)
    return load_project(folder / "stoker.toml")


def problems(folder, text):
    with pytest.raises(SpecError) as caught:
        load(folder, text)
    return [str(problem) for problem in caught.value.problems]


def test_contract_s_example(tmp_path):
    loaded = load(tmp_path, CONTRACT)
    assert loaded.settings.web == WebSettings(
        url="https://lab.example.org/stoker/",
        origins=("https://lab.example.org",),
        anonymous="viewer",
        user_header="X-Remote-User",
        trusted_proxies=("127.0.0.1", "10.0.0.0/8", "::1"),
        outbound=("*.ebi.ac.uk", "lims.lab", "192.168.1.7"),
        uploads=f"{tmp_path}/in",
    )
    pipeline = loaded.pipelines["search"]
    assert pipeline.description == "Finds **homologues** of a protein."
    assert pipeline.web == PipelineWeb(
        public=True,
        wait_s=10.0,
        example={"item": f"{tmp_path}/examples/globin.fasta", "evalue": 1e-5},
        max_open=5,
        per_minute=30,
        max_upload_bytes=50 << 20,
        keep_s=14 * 86_400.0,
    )
    assert pipeline.results == (
        Result(name="hits", of="outputs.search.table"),
        Result(name="best", of="values.search.best"),
    )
    assert [(one.is_value, one.step, one.field) for one in pipeline.results] == [
        (False, "search", "table"),
        (True, "search", "best"),
    ]
    evalue, matrix, tags, pictures = pipeline.params
    assert (evalue.section, evalue.description, evalue.example) == ("Filter", "d", 1.0)
    assert (matrix.media, matrix.rules.max_bytes) == (("text/plain",), 1 << 20)
    assert (tags.max_length, tags.min_items, tags.max_items) == (8, 1, 3)
    assert pictures.media == ("image/png", "image/*")
    table = pipeline.step("search").output("table")
    assert (table.media, table.title) == ("text/plain", "Table of hits")


def test_it_survives_the_store_and_a_move(tmp_path):
    pipeline = load(tmp_path, CONTRACT).pipelines["search"]
    text = dump_pipeline(pipeline)
    assert load_pipeline(text) == pipeline
    assert str(tmp_path) not in text.replace(f'"folder":"{tmp_path}"', "")


WORDS = {
    'title = "Protein search"': 'title = "Search of proteins"',
    '"Finds **homologues** of a protein."': '"Finds."',
    'section = "Filter", example = 1': 'section = "F", example = 2',
    ', title = "Table of hits"': ', title = "Hits"',
    'table = { to = "results/{key}.txt", media = "text/plain"': 'table = { to = "results/{key}.txt", media = "text/csv"',
    "max_open = 5": "max_open = 6",
    "public = true": "public = false",
}
RULES = {
    'best = "values.search.best"': 'worst = "values.search.worst"',
    "max_length = 8": "max_length = 9",
    'media = ["image/png", "image/*"]': 'media = ["image/png"]',
    'max_size = "1M"': 'max_size = "2M"',
}


@pytest.mark.parametrize(("old", "new"), [*WORDS.items(), *RULES.items()])
def test_only_rules_are_part_of_the_interface_and_nothing_is_of_the_body(tmp_path, old, new):
    assert old in CONTRACT
    before = load(tmp_path, CONTRACT).pipelines["search"]
    after = load(tmp_path, CONTRACT.replace(old, new)).pipelines["search"]
    assert before != after
    assert (interface_hash(before) == interface_hash(after)) is (old in WORDS)
    assert pipeline_body_hash(before) == pipeline_body_hash(after)


def test_hashes_of_pipelines_without_these_words_stay(tmp_path):
    """Stores of the first release hold them: another hash would make all their tasks outdated."""
    text = """
[pipelines.p]
[pipelines.p.params]
x = { type = "number", default = 1, minimum = 0, title = "X" }
[pipelines.p.steps.s]
run = "cp {item} {out.o}"
outputs.o = "r/{key}"
"""
    pipeline = load(tmp_path, text).pipelines["p"]
    assert (interface_hash(pipeline), pipeline_body_hash(pipeline)) == (
        "2:495e6db276148dfc",
        "a4f1f46ff82a5e83",
    )


WEB = [
    ('url = "lab.example.org"', "is not an address under which people can reach the service"),
    ('url = "ftp://lab/"', "is not an address"),
    ('url = "https://u:p@lab/"', "is not an address"),
    ('url = "https://lab/?x=1"', "is not an address"),
    ('url = "https://lab:99999/"', "is not an address"),
    ('url = "https://la b/"', "is not an address"),
    ('url = "https://lab/\'><script>"', "is not an address"),
    ('url = "https://[::1/"', "is not an address"),
    ('origins = ["*"]', "any web site"),
    ('origins = ["lab.example.org"]', "is not an origin"),
    ('origins = ["https://lab.example.org/x"]', "is not an origin"),
    ('anonymous = "admin"', "none of its words"),
    ('user_header = "X-Remote-User"', "believed from `trusted_proxies` only"),
    (
        'user_header = "X-Forwarded-For"\ntrusted_proxies = ["::1"]',
        "has a meaning of its own",
    ),
    ('user_header = "a b"\ntrusted_proxies = ["::1"]', "is not the name of a header"),
    ('trusted_proxies = ["localhost"]', "is not an address or a network"),
    ('trusted_proxies = ["10.0.0.1/8"]', "is not an address or a network"),
    ('outbound = ["https://lab"]', "is not the name of a host"),
    ('outbound = ["*"]', "would be every host"),
    ('outbound = ["*.*"]', "would be every host"),
    ("proxies = []", "has no key `proxies`"),
]


@pytest.mark.parametrize(("text", "message"), WEB)
def test_one_problem_of_the_service(tmp_path, text, message):
    found = problems(tmp_path, f"[web]\n{text}\n")
    assert len(found) == 1, found
    assert message in found[0]


PIPELINE = """
[pipelines.p]
params.n = {{ type = "integer", required = true, minimum = 1 }}
params.m = {{ type = "path", default = "m.txt" }}
{}
[pipelines.p.steps.s]
run = "cp {{item}} {{out.o}}; touch {{out.t}}"
outputs.o = "r/{{key}}"
outputs.t = {{ to = "t/{{key}}", temp = true }}
"""
OF_PIPELINE = [
    ('params.item = { type = "string" }', "`item` is the file itself"),
    ('results.x = "outputs.s.oo"', "step `s` has no output `oo`; did you mean `o`?"),
    ('results.x = "outputs.z.o"', "`z`, which is not a step"),
    ('results.x = "outputs.s.t"', "is `temp`, so nobody could get it"),
    ('results.x = "o"', '`results.x` is `"o"`; write it as `outputs.STEP.NAME`'),
    ('results.X = "outputs.s.o"', "`X` is not a name"),
    ("web.example = { n = 1 }", "the example lacks `item`"),
    ('web.example = { item = "x" }', "the example lacks `n`"),
    ('web.example = { item = "x", n = 0 }', "`n` of the example is 0 and must be at least 1"),
    ('web.example = { item = "x", n = 1, k = 2 }', "which is not a parameter of this pipeline"),
    ("web.example = { item = 5, n = 1 }", "is the path of a file"),
    ("web.wait = 0", "must be above 0"),
    ('web.wait = "1h"', "must be at most 600"),
    ("web.max_open = 0", "must be at least 1"),
    ("web.per_minute = 100000", "must be at most 10,000"),
    ('web.keep = "0s"', "must be above 0"),
    ("web.max_upload = 0", "is not a size"),
    ("web.public = 1", "must be `true` or `false`"),
    ('web.maxopen = "1"', "did you mean `max_open`?"),
]


@pytest.mark.parametrize(("text", "message"), OF_PIPELINE)
def test_one_problem_of_what_a_pipeline_offers(tmp_path, text, message):
    found = problems(tmp_path, PIPELINE.format(text))
    assert len(found) == 1, found
    assert message in found[0]


PARAM = [
    ('type = "string", min_items = 1', "`min_items` is for lists"),
    ('type = "integer", max_length = 1', "`max_length` is for texts"),
    ('type = "string", media = "text/plain"', "`media` is for paths"),
    ('type = "string", validate = { max_size = "1M" }', "`validate` is for paths"),
    ('type = "path", media = "text"', "write a media type as `text/plain`"),
    ('type = "path", media = ["text/plain", "Text/HTML"]', "write a media type as `text/plain`"),
    ('type = "path", validate = { checksum = "{item}.md5" }', "no file with a checksum"),
    ('type = "path", validate = { min_size = "2M", max_size = "1M" }', "is below `min_size`"),
    ('type = "list", min_items = 3, max_items = 2', "`max_items` is below `min_items`"),
    ('type = "list", max_items = 1, default = ["a", "b"]', "has 2 elements and may have 1"),
    ('type = "string", max_length = 2, default = "abc"', "has 3 characters and may have 2"),
    ('type = "integer", example = "x"', "the example of `x` must be a whole number"),
    ('type = "string", max_length = 0', "must be at least 1"),
]


@pytest.mark.parametrize(("text", "message"), PARAM)
def test_one_problem_of_a_parameter(tmp_path, text, message):
    text = f"[pipelines.p]\nitems = 'records'\nparams.x = {{ {text} }}\nsteps.s.run = 'true'\n"
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert message in found[0]


def test_media_type_of_an_output(tmp_path):
    text = "[pipelines.p.steps.s]\nrun = 'true'\noutputs.o = { to = 'r/{key}', media = 'text/*' }\n"
    (found,) = problems(tmp_path, text)
    assert "write a media type as `text/plain`" in found


def test_results_are_those_of_the_last_steps_unless_they_are_named(tmp_path):
    text = """
[pipelines.p.steps.a]
run = "touch {out.x} {out.y}"
outputs.x = "x/{key}"
outputs.y = "y/{key}"
[pipelines.p.steps.b]
run = "cp {in.a.x} {out.o}; touch {out.t}"
outputs.o = "b/{key}"
outputs.t = { to = "t/{key}", temp = true }
[pipelines.p.steps.c]
run = "cp {in.a.y} {out.o}; touch {out.only}"
outputs.o = "c/{key}"
outputs.only = "d/{key}"
"""
    pipeline = load(tmp_path, text).pipelines["p"]
    assert [(one.name, one.of) for one in results_of(pipeline)] == [
        ("b_o", "outputs.b.o"),
        ("c_o", "outputs.c.o"),
        ("only", "outputs.c.only"),
    ]
    named = (Result(name="x", of="outputs.a.x"),)
    assert results_of(dataclasses.replace(pipeline, results=named)) == named


def test_cautions_of_a_public_pipeline(tmp_path):
    text = (
        '[pipelines.p]\nweb = { public = true, example = { item = "e" } }\nsteps.s.run = "true"\n'
    )
    found = find_web_cautions(load(tmp_path, text).pipelines["p"])
    for word in ("gives no result", "`max_open`", "`max_upload`", "which is not there"):
        assert sum(word in one for one in found) == 1, found
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "globin.fasta").touch()
    assert find_web_cautions(load(tmp_path, CONTRACT).pipelines["search"]) == []
