import json
import tomllib
from importlib import resources

import pytest

from stoker.spec.initial import initial_text
from stoker.spec.schema import json_schema

CONTRACT = """
include = ["people/*.toml"]
[project]
name = "lab"
[store]
url = "sqlite:///.stoker/stoker.db"
[worker]
scratch = "/local/scratch"
[worker.hosts."node*"]
scratch = "/scratch"
[pools]
ram = 2
gpu = { slots = ["0", "1"], per = "host", kind = "gpu" }
archive = { slots = 2, between = "20:00-08:00", per_minute = 10 }
[secrets]
names = ["TOKEN"]
[pipelines.spikes]
items = "records"
key = "{params.block}"
on_change = "rerun"
[pipelines.spikes.params]
block = { type = "string", required = true, pattern = "Pen.*" }
omit = { type = "list", items = "string", default = [] }
gain = { type = "number", default = 1.0, minimum = 0 }
[pipelines.spikes.sources.blocks]
table = "blocks.tsv"
[pipelines.spikes.defaults]
prepare = "module load matlab/2024b"
[pipelines.spikes.steps.make_kwd]
run = "make_kwd {params.block} {out.kwd} --omit {params.omit:,}"
pools = { ram = 1 }
memory = ["12G", "24G"]
timeout = "2h"
backoff = 5
outputs.kwd = "results/{key}.kwd"
outputs.log = { from = "*.klog", to = "results/logs/", optional = true }
[pipelines.spikes.steps.sort]
argv = ["phy", "{in.make_kwd.kwd}", ["--omit", "{params.omit:,}"]]
cpus = 1
retries = 2
exits = { 0 = "done", 3 = "skip", 75 = "later" }
error_markers = ["(?i)^error:"]
[[pipelines.spikes.steps.sort.causes]]
match = "no license"
say = "MATLAB licences used up"
"""


def faults(text):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.message for error in validator.iter_errors(tomllib.loads(text))]


def test_shipped_schema_is_what_the_models_say():
    shipped = resources.files("stoker.spec").joinpath("stoker.schema.json").read_text()
    assert json.loads(shipped) == json_schema(), (
        "write it anew: json.dumps(json_schema(), indent=2) and a line break"
    )


def test_schema_is_one():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text", [CONTRACT, initial_text("x"), ""], ids=["contract", "initial", "none"]
)
def test_schema_accepts(text):
    assert faults(text) == []


@pytest.mark.parametrize(
    "line",
    [
        "incldue = []",
        "[sites.x]\npeer = 'ssh x'",
        "[pools]\nRam = 2",
        "[pools]\nram = 0",
        "[pipelines.p.steps.s]\nrnu = 'x'",
        "[pipelines.p.steps.s]\nrun = 'x'\nargv = ['x']",
        "[pipelines.p.steps.s]\nmemory = '12GB'",
        "[pipelines.p.steps.s]\ntimeout = '2 hours'",
        "[pipelines.p.steps.s]\nexits = { 0 = 'dne' }",
        "[pipelines.p.steps.s]\ncpus = 0",
        "[pipelines.p.steps.s]\noutputs.x = { form = '*' }",
        "[pipelines.P]",
    ],
)
def test_schema_refuses(line):
    assert faults(line) != []
