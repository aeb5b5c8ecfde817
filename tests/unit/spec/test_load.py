import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoker.errors import NotFound, SpecError, UserError
from stoker.model.pipeline import Argv, ItemKind, OnChange, ParamType, Python, Run, Verdict
from stoker.spec import sources
from stoker.spec.canon import dump_pipeline, interface_hash, load_pipeline, pipeline_body_hash
from stoker.spec.initial import initial_text
from stoker.spec.load import load_project
from stoker.spec.project_file import find_project
from unit.spec.test_schema import CONTRACT


def load(folder, text, **others):
    (folder / "stoker.toml").write_text(text)
    for name, other in others.items():
        (folder / f"{name}.toml").write_text(other)
    return load_project(folder / "stoker.toml")


def problems(folder, text, **others):
    with pytest.raises(SpecError) as caught:
        load(folder, text, **others)
    return [str(problem) for problem in caught.value.problems]


def of_step(folder, text, head=""):
    """The problems of a step `s` whose keys are `text`, the first of them on line 2."""
    whole = f"[pipelines.p.steps.s]\n{text}\n[pipelines.p.params]\nx = {{}}\n{head}"
    return problems(folder, whole)


def test_contract_s_example(tmp_path):
    loaded = load(tmp_path, CONTRACT)
    assert loaded.problems == ()
    assert loaded.broken == {}
    settings_ = loaded.settings
    assert (settings_.name, settings_.folder) == ("lab", str(tmp_path))
    assert settings_.store_url == f"sqlite:///{tmp_path}/.stoker/stoker.db"
    assert settings_.worker.scratch == "/local/scratch"
    assert settings_.worker.on("node7").scratch == "/scratch"
    assert [(pool.name, pool.slots, pool.kind) for pool in settings_.pools] == [
        ("ram", ("0", "1"), None),
        ("gpu", ("0", "1"), "gpu"),
        ("archive", ("0", "1"), None),
    ]
    gpu, archive = settings_.pools[1:]
    assert (gpu.is_per_host, archive.is_per_host) == (True, False)
    assert (str(archive.hours), archive.per_minute) == ("20:00-08:00", 10)
    assert settings_.secrets == ("TOKEN",)

    pipeline = loaded.pipelines["spikes"]
    assert (pipeline.items, pipeline.key) == (ItemKind.RECORDS, "{params.block}")
    assert pipeline.on_change is OnChange.RERUN
    assert [param.type for param in pipeline.params] == [
        ParamType.STRING,
        ParamType.LIST,
        ParamType.NUMBER,
    ]
    assert pipeline.sources[0].table == f"{tmp_path}/blocks.tsv"

    make, sort = pipeline.steps
    assert isinstance(make.action, Run)
    assert make.memory_bytes == (12 * 2**30, 24 * 2**30)
    assert (make.timeout_s, make.backoff_s, make.prepare) == (7200, 5, "module load matlab/2024b")
    assert make.pools == {"ram": 1}
    assert make.output("kwd").to == "results/{key}.kwd"
    log = make.output("log")
    assert (log.pick, log.to, log.optional, log.is_folder) == (
        "*.klog",
        "results/logs/",
        True,
        True,
    )
    assert sort.after == ("make_kwd",)
    assert sort.action == Argv(words=("phy", "{in.make_kwd.kwd}", ("--omit", "{params.omit:,}")))
    assert sort.exits == {0: Verdict.DONE, 3: Verdict.SKIP, 75: Verdict.LATER}
    assert sort.causes[0].say == "MATLAB licences used up"
    assert sort.prepare == "module load matlab/2024b"


def test_loaded_pipeline_survives_the_store(tmp_path):
    pipeline = load(tmp_path, CONTRACT).pipelines["spikes"]
    back = load_pipeline(dump_pipeline(pipeline))
    assert back == pipeline
    assert interface_hash(back) == interface_hash(pipeline)
    assert pipeline_body_hash(back) == pipeline_body_hash(pipeline)


def test_hashes_do_not_know_where_the_project_lies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (load(tmp_path / name, initial_text("x")).pipelines["first"] for name in "ab")
    assert one.folder != two.folder
    assert interface_hash(one) == interface_hash(two)
    assert pipeline_body_hash(one) == pipeline_body_hash(two)


@pytest.mark.parametrize("name", ["lab", 'a "quoted" name', "back\\slash", "ü\n", ""])
def test_initial_file_is_right_as_it_is(tmp_path, name):
    loaded = load(tmp_path, initial_text(name))
    assert loaded.settings.name == (name or "project")
    assert [step.name for step in loaded.pipelines["first"].steps] == ["count", "describe"]


def test_small_file(tmp_path):
    loaded = load(
        tmp_path, '[pipelines.p.steps.s]\npython = "m:f"\ninterpreter = "env/bin/python"\n'
    )
    assert loaded.settings.name == tmp_path.name
    step = loaded.pipelines["p"].steps[0]
    assert step.action == Python(function="m:f", interpreter=f"{tmp_path}/env/bin/python")
    assert (step.cpus, step.retries, step.timeout_s, step.memory_bytes) == (1, 0, None, ())
    assert load(tmp_path, "").pipelines == {}


MISTAKES = """\
incldue = ["x.toml"]
[project]
nmae = "lab"
[store]
url = "mysql://someone:hidden@host/db"
[pools]
ram = 0
gpu = { slots = 2, per = "site" }
disk = { slots = 1, between = "24:00-08:00" }
[sites.x]
[[notify]]
[pipelines.Spikes.steps.s]
run = "true"
[pipelines.spikes]
items = "record"
key = "{param.block}"
[pipelines.spikes.params]
block = { type = "strng" }
gain = { type = "number", default = "much" }
mode = { type = "choice" }
name = { pattern = "(" }
[pipelines.spikes.sources.both]
folder = "a"
table = "b.tsv"
[pipelines.spikes.steps.make]
rnu = "make"
memory = "12GB"
timeout = "2 hours"
retries = -1
site = "here"
[pipelines.spikes.steps.sort]
run = '''
echo {params.blok}
echo '{params.block}'
echo {in.make.kwd}
'''
after = ["mkae"]
pools = { ram = 1, rma = 1, gpu = 3 }
secrets = ["TOKEN"]
exits = { 0 = "done", 300 = "skip", 4 = "later?" }
error_markers = ["ok", "["]
when = "parms.gain > 1.0"
[[pipelines.spikes.steps.sort.causes]]
match = "("
say = "x"
[pipelines.spikes.steps.both]
run = "true"
argv = ["true"]
outputs.x = { form = "*.log" }
cpus = 1.5
[pipelines.spikes.steps.shell]
run = '''
if true; then
  echo
'''
env = { A = "{nothing}" }
[pipelines.circle.steps.a]
run = "true"
after = ["b"]
[pipelines.circle.steps.b]
run = "cat {in.a.out}"
[pipelines.empty]
"""

SAID = {
    1: ["no key `incldue`; did you mean `include`?"],
    3: ["no key `nmae`; did you mean `name`?"],
    5: ["no database that Stoker uses"],
    7: ["at least 1"],
    8: ['`pools.gpu.per` is `"site"`, which is none of its words'],
    9: ["write hours as in `20:00-08:00`"],
    10: ["`x` has no `folder`"],
    11: ["`notify` must be a table, not a list"],
    12: ["`Spikes` is not a name; a name is lower-case letters, digits and `_`; write `spikes`"],
    15: ["did you mean `records`?"],
    16: ["`{param.block}` is not a name that Stoker knows; did you mean `params`?"],
    18: ["did you mean `string`?"],
    19: ["the default of `gain` must be a number"],
    20: ["parameter `mode` has no `choices`"],
    21: ["`(` cannot be used as a pattern"],
    22: ["source `both` must have one place"],
    26: ["no key `rnu`; did you mean `run`?"],
    27: ["`12GB` is not a size"],
    28: ["`2 hours` is not a time"],
    29: ["must be at least 0, not `-1`"],
    30: ["there is no site `here`"],
    33: ["`{params.blok}` is not a parameter of this pipeline; did you mean `block`?"],
    34: ["`{params.block}` stands inside single quotes"],
    35: ["step `make` has no output `kwd`"],
    37: ["`after` names `mkae`, which is not a step of this pipeline; did you mean `make`?"],
    38: ["there is no pool `rma`; did you mean `ram`?", "asks for 3 of pool `gpu`, which has 2"],
    39: ["`TOKEN` is not a secret of this project"],
    40: ["`300` is not an exit code", "did you mean `later`?"],
    41: ["`[` cannot be used as a pattern"],
    42: ["`when` has no name `parms`; did you mean `params`?"],
    44: ["`(` cannot be used as a pattern"],
    48: ["step `both` has `run` and `argv`; keep one of them"],
    49: ["no key `form`; did you mean `from`?"],
    50: ["`steps.both.cpus` must be a whole number, not `1.5`"],
    54: ["bash cannot read this"],
    56: ["`{nothing}` is not a name that Stoker knows"],
    59: ["the steps go round in a circle: `a` → `b` → `a`"],
    61: ["step `a` has no output `out`"],
    62: ["pipeline `empty` has no steps"],
}


def test_every_mistake_is_told_at_its_line(tmp_path):
    told: dict[int, list[str]] = {}
    for line in problems(tmp_path, MISTAKES):
        found = re.fullmatch(r"stoker\.toml:(\d+): (.*)", line)
        told.setdefault(int(found[1]), []).append(found[2])
    assert {line: len(messages) for line, messages in told.items()} == {
        line: len(messages) for line, messages in SAID.items()
    }
    for line, messages in SAID.items():
        for message in messages:
            assert any(message in said for said in told[line]), (line, message, told[line])


def test_problems_come_in_the_order_of_lines(tmp_path):
    with pytest.raises(SpecError) as caught:
        load(tmp_path, MISTAKES)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == sorted(lines)
    assert len(lines) >= 40
    assert f"has {len(lines)} problems" in str(caught.value)


def test_a_name_that_means_nothing_is_one_mistake(tmp_path):
    """Bash finds no second one in the gap that it would leave."""
    found = problems(tmp_path, '[pipelines.p.steps.s]\nrun = "cat {item} > {out.o}"\n')
    assert len(found) == 1, found
    assert "`{out.o}` is not an output of this step" in found[0]


def test_password_is_never_repeated(tmp_path):
    assert not any("hidden" in line for line in problems(tmp_path, MISTAKES))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = ", 1, "this is not TOML"),
        ("\n\n[pipelines\n", 3, "this is not TOML"),
        ("a = 1\na = 2\n", 2, "this is not TOML"),
        ("a = '''\n\n\n", 4, "this is not TOML"),
    ],
)
def test_what_is_no_toml(tmp_path, text, line, message):
    told = problems(tmp_path, text)
    assert len(told) == 1
    assert told[0].startswith(f"stoker.toml:{line}: {message}")


def test_file_in_another_encoding(tmp_path):
    (tmp_path / "stoker.toml").write_bytes(b"[project]\nname = '\xff'\n")
    with pytest.raises(SpecError) as caught:
        load_project(tmp_path / "stoker.toml")
    assert str(caught.value.problems[0]).startswith("stoker.toml:2: the file is not UTF-8")


def test_file_that_is_missing_or_a_folder(tmp_path):
    with pytest.raises(NotFound, match="stoker init"):
        load_project(tmp_path / "stoker.toml")
    (tmp_path / "stoker.toml").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        load_project(tmp_path / "stoker.toml")


def test_windows_line_ends(tmp_path):
    (tmp_path / "stoker.toml").write_bytes(
        b'[pipelines.p.steps.s]\r\nrun = """\r\necho {kye}\r\n"""\r\n'
    )
    with pytest.raises(SpecError) as caught:
        load_project(tmp_path / "stoker.toml")
    assert [problem.line for problem in caught.value.problems] == [3]


def test_find_project(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/stoker.toml").write_text("")
    assert find_project(tmp_path / "a/b") == tmp_path / "a/stoker.toml"
    assert find_project(tmp_path / "a") == tmp_path / "a/stoker.toml"
    with pytest.raises(NotFound, match="stoker init"):
        find_project(tmp_path)


STEP = '[pipelines.{0}.steps.s]\nrun = "true"\n'


def test_included_files_add_pipelines_with_their_own_folder(tmp_path):
    (tmp_path / "people").mkdir()
    (tmp_path / "people/ada.toml").write_text(
        STEP.format("ada") + '[pipelines.ada.sources.x]\nfolder = "in"\n'
    )
    (tmp_path / "people/bob.toml").write_text(STEP.format("bob"))
    loaded = load(tmp_path, 'include = ["people/*.toml", "people/ada.toml"]\n' + STEP.format("p"))
    assert set(loaded.pipelines) == {"p", "ada", "bob"}
    assert loaded.pipelines["ada"].folder == str(tmp_path / "people")
    assert loaded.pipelines["ada"].sources[0].folder == str(tmp_path / "people/in")
    assert loaded.broken == {}


def test_broken_included_file_disables_only_its_own_pipelines(tmp_path):
    loaded = load(
        tmp_path,
        'include = ["[a-z].toml"]\n' + STEP.format("p"),
        a="a = ",
        b=STEP.format("b") + STEP.format("good") + "[pipelines.b]\nitmes = 1\n",
        c=STEP.format("c") + "[pools]\nx = 1\n",
        d=STEP.format("d"),
    )
    assert set(loaded.pipelines) == {"p", "good", "d"}
    assert set(loaded.broken) == {"a.toml", "b", "c", "c.toml"}
    assert len(loaded.broken["b"]) == 1
    assert str(loaded.broken["b"][0]).startswith("b.toml:6: ")
    assert "did you mean `items`?" in str(loaded.broken["b"][0])
    assert "belongs into the main file" in str(loaded.broken["c"][0])
    assert [problem.file for problem in loaded.problems] == ["a.toml", "b.toml", "c.toml"]


def test_main_file_s_problems_come_with_those_of_all_files(tmp_path):
    told = problems(tmp_path, 'include = ["a.toml", "gone.toml"]\nx = 1\n', a="y = 1\n")
    assert [line.split(": ")[0] for line in told] == ["a.toml:1", "stoker.toml:1", "stoker.toml:2"]


def test_one_name_in_two_files(tmp_path):
    loaded = load(
        tmp_path,
        'include = ["a.toml", "b.toml"]\n' + STEP.format("p"),
        a=STEP.format("q"),
        b=STEP.format("p") + STEP.format("q") + STEP.format("r"),
    )
    assert loaded.pipelines["p"].folder == loaded.pipelines["q"].folder == str(tmp_path)
    assert set(loaded.pipelines) == {"p", "q", "r"}
    assert [str(problem) for problem in loaded.broken["b.toml"]] == [
        "b.toml:1: pipeline `p` is in another file already; rename one of them",
        "b.toml:3: pipeline `q` is in another file already; rename one of them",
    ]


def test_a_main_file_that_is_no_toml_hides_nothing_of_those_it_includes(tmp_path):
    told = problems(
        tmp_path,
        'include = [\n  "a.toml", "gone.toml", "b.toml",\n]\n[pipelines.p\n[pools]\ngpu = 1\n',
        a='[pipelines.a.steps.s]\nrun = "x {itm}"\npools = { gpu = 1 }\n',
        b="[pipelines",
    )
    assert [line.partition(": ")[0] for line in told] == [
        "a.toml:2", "b.toml:1", "stoker.toml:1", "stoker.toml:4",
    ]  # fmt: skip
    assert "`itm`" in told[0] or "`{itm}`" in told[0]
    assert "`gone.toml`" in told[2]
    assert "not TOML" in told[3]
    assert len(problems(tmp_path, "include = [\n[pools\n", a="[")) == 1


@pytest.mark.parametrize("rest", ["", "[pipelines.p\n"])
def test_a_nul_in_what_is_included_is_told(tmp_path, rest):
    told = problems(tmp_path, f'include = ["people\\u0000/*.toml"]\n{rest}')
    assert ("NUL" in told[0]) is (not rest), told
    assert len(told) == 1


def test_file_that_includes_itself(tmp_path):
    assert set(load(tmp_path, 'include = ["*.toml"]\n' + STEP.format("p")).pipelines) == {"p"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///.stoker/stoker.db", "sqlite:///{folder}/.stoker/stoker.db"),
        ("sqlite:////var/s.db", "sqlite:////var/s.db"),
        ("sqlite:///../s.db", "sqlite:///{parent}/s.db"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("mariadb+pymysql://u@h/d", "mariadb+pymysql://u@h/d"),
    ],
)
def test_store_s_url(tmp_path, url, expected):
    loaded = load(tmp_path, f'[store]\nurl = "{url}"\n')
    names = {"folder": tmp_path, "parent": tmp_path.parent}
    assert loaded.settings.store_url == expected.format(**names)


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x", "s.db"]
)
def test_url_that_is_no_store(tmp_path, url):
    assert problems(tmp_path, f'[store]\nurl = "{url}"\n')[0].startswith("stoker.toml:2: ")


def test_defaults_hold_where_a_step_says_nothing(tmp_path):
    loaded = load(
        tmp_path,
        """
[secrets]
names = ["T"]
[pools]
ram = 3
[pipelines.p.defaults]
cpus = 2
timeout = "1m"
retries = 3
env = { A = "1", B = "{key}" }
pools = { ram = 2 }
exits = { 0 = "done", "10-12" = "retry" }
secrets = ["T"]
[pipelines.p.steps.one]
run = "true"
[pipelines.p.steps.two]
run = "true"
cpus = 1
env = { B = "2" }
pools = {}
exits = {}
""",
    )
    one, two = loaded.pipelines["p"].steps
    assert (one.cpus, one.timeout_s, one.retries, one.pools) == (2, 60, 3, {"ram": 2})
    assert one.env == {"A": "1", "B": "{key}"}
    assert one.exits == {0: Verdict.DONE} | dict.fromkeys((10, 11, 12), Verdict.RETRY)
    assert one.secrets == ("T",)
    assert (two.cpus, two.env, two.pools, two.exits) == (1, {"A": "1", "B": "2"}, {}, {})


def test_problem_in_defaults_is_told_once_at_its_line(tmp_path):
    told = problems(
        tmp_path,
        '[pipelines.p.defaults]\nenv = { A = "{kye}" }\nerror_markers = ["("]\npools = { x = 1 }\n'
        'exits = { 999 = "done" }\nsecrets = ["S"]\nprepare = "echo {params.x}"\n'
        '[pipelines.p.steps.a]\nrun = "true"\n[pipelines.p.steps.b]\nrun = "true"\n'
        "[pipelines.p.params]\nx = {}\n",
    )
    assert [int(line.split(":")[1]) for line in told] == [2, 3, 4, 5, 6, 7]


def test_steps_are_put_in_order_and_keep_the_file_s_otherwise(tmp_path):
    text = "".join(
        f'[pipelines.p.steps.{name}]\nrun = "true"\nafter = {after}\n'
        for name, after in [
            ("d", '["c", "a"]'),
            ("b", "[]"),
            ("c", '["a"]'),
            ("a", "[]"),
            ("e", "[]"),
        ]
    )
    steps = load(tmp_path, text).pipelines["p"].steps
    assert [step.name for step in steps] == ["b", "a", "c", "d", "e"]
    assert steps[3].after == ("c", "a")


@pytest.mark.parametrize(
    "use",
    [
        'run = "cat {in.a.x}"',
        'argv = ["cat", ["-x", "{in.a.x}"]]',
        'run = "true"\nenv = { X = "{in.a.x}" }',
        'run = "true"\noutputs.y = "{in.a.x}.idx"',
        'run = "true"\nwhen = "values.a.n > 1"',
    ],
)
def test_reference_to_a_step_implies_its_order(tmp_path, use):
    text = f'[pipelines.p.steps.b]\n{use}\n[pipelines.p.steps.a]\nrun = "true"\noutputs.x = "r/x"\n'
    steps = load(tmp_path, text).pipelines["p"].steps
    assert [step.name for step in steps] == ["a", "b"]
    assert steps[1].after == ("a",)


def test_cycle_through_three_steps_is_named(tmp_path):
    text = "".join(
        f'[pipelines.p.steps.{name}]\nrun = "true"\nafter = ["{after}"]\n'
        for name, after in [("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")]
    )
    told = problems(tmp_path, text)
    assert len(told) == 1
    assert told[0].startswith(
        "stoker.toml:6: the steps go round in a circle: `a` → `b` → `c` → `a`"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('run = "echo \\u0000"', "has a NUL character"),
        ('run = "true"\nenv = { A = "\\u0000" }', "has a NUL character"),
        ('run = "true"\nenv = { "A-B" = "x" }', "the name of a variable is letters"),
        ("cpus = 1", "step `s` has no command"),
        ('run = "  "', "`run` is empty"),
        ("argv = []", "`steps.s.argv` is empty"),
        ('argv = [""]', "the program's name is empty"),
        ('argv = ["a", 1]', "a word of `argv` is a text"),
        ('python = "m"', "`module:function`"),
        ('run = "true"\nafter = ["s"]', "comes after itself"),
        ('run = "true"\ncpus = 0', "must be at least 1"),
        ('run = "true"\ncpus = 10_001', "must be at most 10,000, not `10001`"),
        ('run = "true"\nretries = 10_001', "must be at most 10,000"),
        ('run = "true"\nretries = 99999999999999999999', "must be at most 10,000"),
        ('run = "true"\nopen_files = 1_048_577', "must be at most 1,048,576"),
        ('run = "true"\npools.ram = 10_001', "must be at most 10,000"),
        ('run = "true"\nmemory = "2000000T"', "at most 1048576T is allowed"),
        ('run = "true"\ndisk = 99999999999999999999', "at most 1048576T is allowed"),
        ('run = "true"\ntimeout = "40000d"', "at most 36500d is allowed"),
        ('run = "true"\nbackoff = 1e300', "is not a time"),
        ('run = "true"\ntimeout = 0', "must be above 0"),
        ('run = "true"\nbackoff = "x"', "is not a time"),
        ('run = "true"\nmemory = ["1G", "x"]', "`x` is not a size"),
        ('run = "true"\nmemory = "1X"', "`steps.s.memory`: `1X` is not a size"),
        ('run = "true"\noutputs.x = {}', "no place to be published at"),
        ('run = "true"\noutputs.x = ""', "no place to be published at"),
        ('run = "true"\noutputs.x = 5', "must be a table"),
        (
            'run = "true"\noutputs.x = { from = "../*", to = "r/" }',
            "must stay in the working directory",
        ),
        (
            'run = "true"\noutputs.x = { from = "/x", to = "r/" }',
            "must stay in the working directory",
        ),
        ('run = "true"\noutputs.x = "r"\noutputs.y = "r"', "`x` and `y` have one path"),
        ('run = "true"\noutputs.X = "r"', "`X` is not a name"),
        ('run = "true"\nexits = { a = "done" }', "`a` is not an exit code"),
        ('run = "true"\nexits = { 9-3 = "done" }', "`9-3` is not an exit code"),
        ('run = "true"\nexits = { 3 = "done", 1-5 = "fail" }', "exit code 3 stands twice"),
        ('run = "true"\nwhen = "a =="', "`when` is not a condition"),
        ('run = "true"\nprepare = "if"', "bash cannot read this"),
        ('run = "true"\nprepare = "echo {key}"', "has no value in `prepare`"),
        ('run = "true"\nprepare = ". {project}/env"', 'write `"$STOKER_PROJECT"`'),
        ('run = "true"\nneeds = ["A"]', "a name is lower-case letters"),
        ('run = "true"\ntogether = 5', "`steps.s.together` must be a text"),
        ('run = "true"\ncauses = [{ match = "x" }]', "a cause has no `say`"),
        ('run = "true"\nerror_markers = ["[a"]', "`[a` cannot be used as a pattern"),
        ('run = "true"\noutputs.x = "{out.x}"', "`{out.x}` has no value in the path of an output"),
        ('run = "true"\nenv = { PS4 = "{key}" }', "run as code"),
        ('run = "true"\nsite = 1', "`steps.s.site` must be a text"),
        ("run = 5", "must be a text in quotes, not `5`"),
        ("run = 2020-01-01", "must be a text in quotes, not `2020-01-01`"),
        ('run = "true"\nretries = "3"', 'must be a whole number, not `"3"`'),
    ],
)
def test_one_problem_of_a_step(tmp_path, keys, message):
    told = of_step(tmp_path, keys)
    assert len(told) == 1, told
    assert message in told[0]
    last = keys.count("\n") + 2
    assert int(told[0].split(":")[1]) in (1, last)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ('type = "list", items = "list"', "a list of lists"),
        ('type = "string", minimum = 1', "`minimum` is for numbers"),
        ('type = "integer", pattern = "x"', "`pattern` is for texts"),
        ('type = "integer", default = 5, maximum = 3', "at most 3"),
        ('required = true, default = "x"', "never used"),
        ('type = "choice", choices = ["a"], default = "b"', "none of its choices"),
        ('type = "list", items = "integer", default = [1, "x"]', "whole number"),
        ("default = 2020-01-01", "must be a text"),
        ("choices = 5", "must be a list"),
        ("tpye = 5", "did you mean `type`?"),
    ],
)
def test_one_problem_of_a_parameter(tmp_path, rules, message):
    text = f'[pipelines.p.params]\nx = {{ {rules} }}\n[pipelines.p.steps.s]\nrun = "echo {{params.x:,}}"\n'
    told = problems(tmp_path, text)
    assert len(told) == 1, told
    assert told[0].startswith("stoker.toml:2: ")
    assert message in told[0]


def test_broken_thing_is_still_known_to_what_refers_to_it(tmp_path):
    told = problems(
        tmp_path,
        """[pools]
ram = 0
[pipelines.p]
params.x = 5
[pipelines.p.steps]
a = "true"
[pipelines.p.steps.b]
run = "echo {params.x}"
after = ["a"]
pools = { ram = 1 }
[pipelines.p.steps.c]
run = "cat {in.b.o}"
[pipelines.p.steps.b.outputs]
o = 3
""",
    )
    assert [int(line.split(":")[1]) for line in told] == [2, 4, 6, 14]


def test_pipeline_with_a_bad_name_and_bad_keys(tmp_path):
    told = problems(tmp_path, '[pipelines.P.steps.s]\ntitle = "x"\nrnu = "y"\n')
    assert sorted(line.partition(":")[2].partition(":")[0] for line in told) == ["1", "2", "3"]


def test_list_where_a_short_form_or_a_table_is_wanted(tmp_path):
    told = problems(
        tmp_path, "[pools]\na = [[1], 2]\n[pipelines.p.steps.s]\nrun = 'x'\nmemory = { a = 1 }\n"
    )
    assert len(told) == 2


def test_loading_well_formed_files_needs_no_positions(tmp_path, monkeypatch):
    import stoker.spec.locate

    def fail(*_):
        raise AssertionError("nothing is wrong, so nothing is located")

    monkeypatch.setattr(stoker.spec.locate, "_parse", fail)
    assert load(tmp_path, CONTRACT).pipelines


_LINES = MISTAKES.splitlines() + CONTRACT.splitlines() + initial_text("x").splitlines()
_PIECES = st.sampled_from(
    [
        *[
            "{",
            "}",
            "[",
            "]",
            "=",
            '"',
            "'",
            "#",
            ".",
            ",",
            "5",
            "-1",
            "true",
            "{key}",
            "{in.make.x}",
            "'''",
            "\\",
            "é",
            "\\u0000",
            "1979-05-27",
            "inf",
        ],
        *["[[", "]]", "$((", "steps"],
        "\n",
        '"""',
        "",
        " ",
    ]
)
_EDIT = st.tuples(st.integers(0, 10**6), st.integers(0, 12), _PIECES)


@settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    base=st.sampled_from([CONTRACT, MISTAKES, initial_text("x")]),
    edits=st.lists(_EDIT, min_size=1, max_size=6),
)
def test_edited_file_is_loaded_or_told_about(tmp_path, base, edits):
    for place, length, piece in edits:
        at = place % (len(base) + 1)
        base = base[:at] + piece + base[at + length :]
    _load_or_complain(tmp_path, base)


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lines=st.lists(st.sampled_from(_LINES), min_size=1, max_size=25))
def test_shuffled_lines_are_loaded_or_told_about(tmp_path, lines):
    _load_or_complain(tmp_path, "\n".join(lines))


def _load_or_complain(folder: Path, text: str) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    told = ()
    try:
        load(folder, text)
    except SpecError as error:
        told = error.problems
        assert told != ()
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in told)
    assert [path.name for path in folder.iterdir()] == ["stoker.toml"]


def test_settings_of_a_worker_s_host_override_those_of_all(tmp_path):
    text = """\
[worker]
tags = ["matlab", "matlab"]
cpus = 8
[worker.hosts."gpu*"]
tags = ["gpu"]
memory = "64G"
[worker.hosts."gpu1"]
cpus = 4
"""
    worker = load(tmp_path, text).settings.worker
    assert (worker.on("node").tags, worker.on("node").cpus) == (("matlab",), 8)
    gpu = worker.on("gpu1")
    assert (gpu.tags, gpu.cpus, gpu.memory_bytes) == (("gpu",), 4, 64 * 2**30)


PERSON = '[pipelines.%s.steps.s]\nrun = "true"\n'


def test_shares_by_file_know_who_declares_what(tmp_path):
    text = 'include = ["*.toml"]\n[shares]\nby = "file"\nweights = { anna = 2 }\n' + PERSON % "own"
    found = load(tmp_path, text, anna=PERSON % "hers", ben=PERSON % "his").settings.shares
    assert found.files == {"own": "stoker", "hers": "anna", "his": "ben"}
    assert [found.weight(found.group("u", name)) for name in ("own", "hers", "his")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'by = "pipeline"\nweights = { owm = 2 }',
            "no pipeline of this project; did you mean `own`",
        ),
        ('by = "file"\nweights = { own = 2 }', "no file of this project"),
        ("weights = { own = 2 }", "does not say between whom"),
        ('by = "user"\nweights = { x = 0 }', "must be at least 1e-06"),
        ('by = "group"', "none of its words"),
    ],
)
def test_one_problem_of_the_shares(tmp_path, text, said):
    (line,) = problems(tmp_path, f"[shares]\n{text}\n{PERSON % 'own'}")
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('between = "08:00-08:00"', "begins when it ends"),
        ('between = "8-20"', "write hours as in"),
        ('between = "08:00-20:00", zone = "Europe/Wien"', "not a time zone"),
        ('zone = "Europe/Vienna"', "says nothing without `between`"),
        ("per_minute = 0", "must be at least 1"),
        ("per_minute = 10_001", "must be at most 10,000"),
    ],
)
def test_one_problem_of_a_pool(tmp_path, text, said):
    (line,) = problems(tmp_path, f"[pools]\nram = {{ slots = 1, {text} }}\n")
    assert said in line


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ("64_000_000_000", "0 to 10,000 slots"),
        ('["a", "a"]', "two slots have the same name"),
        ('["a "]', "remove the surrounding spaces"),
        ('["-1"]', "may not start with a dash"),
        ("-1", "a number of at least 1"),
    ],
)
def test_one_problem_of_a_pool_s_slots(tmp_path, slots, said):
    (line,) = problems(tmp_path, f"[pools]\nram = {slots}\n")
    assert said in line


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ("", "only `fields` of a source"),
        ('fields = "{night}_{number}.dat"', "did you mean `night`?"),
    ],
    ids=["a_header", "another_field"],
)
def test_a_key_is_made_of_what_is_known_before_the_header_is_read(tmp_path, fields, hint):
    text = (
        '[pipelines.p]\nkey = "{meta.nigth}"\nextract = "headers:read"\n'
        f'[pipelines.p.sources.s]\nfolder = "in"\n{fields}\n'
        "[pipelines.p.steps.s]\nrun = 'true'\n"
    )
    (tmp_path / "headers.py").write_text("def read(path):\n    return {}\n")
    (told,) = problems(tmp_path, text)
    assert "stoker.toml:2" in told
    assert "a header is read after that" in told
    assert hint in told
    folder = 'folder = "in"\n'
    right = text.replace(f"{folder}{fields}", f'{folder}fields = "{{nigth}}.dat"')
    assert load(tmp_path, right).problems == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pipelines.a]\npriority = 1_000_001", "must be at most 1,000,000"),
        ("[pipelines.a]\npriority = -1_000_001", "must be at least -1,000,000"),
        ("[pipelines.a.params]\nx = { type = 'number', minimum = nan }", "must be a finite number"),
        ("[pipelines.a.params]\nx = { type = 'number', maximum = inf }", "must be a finite number"),
        (
            "[pipelines.a.params]\nx = { type = 'integer', default = 9223372036854775808 }",
            "64 bits",
        ),
        ("[pipelines.a.sources.s]\nfolder = 'x'\nmax_open = 1_000_000_001", "must be at most"),
        ("[shares]\nby = 'user'\nweights = { anna = inf }", "must be at most 1,000,000"),
        ("[shares]\nby = 'user'\nweights = { anna = 1e-7 }", "must be at least 1e-06"),
        ("[worker]\ncpus = 10_001", "must be at most 10,000"),
        ("[retention]\njournal = '40000d'", "at most 36500d is allowed"),
    ],
)
def test_a_number_beyond_its_bound_is_a_mistake(tmp_path, text, said):
    steps = "\n[pipelines.a.steps.s]\nrun = 'true'\n" if "[pipelines.a" in text else "\n"
    lines = problems(tmp_path, text + steps)
    assert any(said in line for line in lines), lines


RENAMES = """
[pipelines.a.steps.one]
run = "true"
renamed_from = "{one}"
[pipelines.a.steps.two]
run = "true"
{two}
[pipelines.b]
{pipeline}
[pipelines.b.steps.s]
run = "true"
"""


@pytest.mark.parametrize(
    ("one", "two", "pipeline", "said"),
    [
        ("old", "", "", None),
        ("two", 'renamed_from = "one"', "", None),
        ("two", 'renamed_from = "gone"', 'renamed_from = "c"', None),
        ("two", "", "", "`one` is renamed from `two`, which is still a step of this pipeline"),
        ("one", "", "", None),
        ("old", 'renamed_from = "old"', "", "`one` and `two` are both renamed from `old`"),
        ("old", "", 'renamed_from = "a"', "`b` is renamed from `a`, which is still a pipeline"),
        ("O", "", "", '`steps.one.renamed_from` is `"O"`'),
    ],
)
def test_renaming_is_checked(tmp_path, one, two, pipeline, said):
    text = RENAMES.format(one=one, two=two, pipeline=pipeline)
    if said is None:
        load(tmp_path, text)
    else:
        (line,) = problems(tmp_path, text)
        assert said in line


@pytest.mark.parametrize("items", ["files", "folders", "records"])
def test_only_records_do_not_come_from_a_folder(tmp_path, items):
    (tmp_path / "in").mkdir()
    text = f'[pipelines.p]\nitems = "{items}"\nsources.s = {{ folder = "in" }}\n'
    text += '[pipelines.p.steps.s]\nrun = "true"\n'
    if items != "records":
        assert load(tmp_path, text).problems == ()
        return
    assert "the items of this pipeline are records, not files" in problems(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("fields", "parts", "message"),
    [
        ("{run}_{part}.fq", '{ r1 = "1", r2 = "1" }', "two parts are written alike"),
        ("{run}_{part}.fq", '{ run = "1", r2 = "2" }', "`run` is a field already"),
        ("{part}/{run}.fq", '{ r1 = "1", r2 = "2" }', "the parts of an item are in one folder"),
        ("{run}.fq", '{ r1 = "1", r2 = "2" }', "what the parts have in common"),
        ("{part}.fq", '{ r1 = "1", r2 = "2" }', "what the parts have in common"),
        ("{run}_{part}.fq", '["1", "2"]', 'give it one, as in `parts = { r1 = "1" }`'),
        ("{run}_{part}.fq", '{ r1 = "1", r2 = "2" }', None),
    ],
)
def test_parts_that_do_not_go_with_their_fields(tmp_path, fields, parts, message):
    (tmp_path / "in").mkdir()
    source = f'{{ folder = "in", fields = "{fields}", parts = {parts} }}'
    text = f'[pipelines.p]\nsources.s = {source}\n[pipelines.p.steps.s]\nrun = "true"\n'
    if message is None:
        assert load(tmp_path, text).problems == ()
    else:
        assert message in problems(tmp_path, text)[0]


def test_a_parameter_whose_items_are_of_no_type_is_one_problem(tmp_path):
    text = '[pipelines.p.params]\nx = { type = "list", items = "nothing", default = [1] }\n'
    assert len(problems(tmp_path, text + '[pipelines.p.steps.s]\nrun = "true"\n')) == 1


@pytest.mark.parametrize(
    ("rule", "key"), [('checksum = "{item}.md5"', "checksum"), ('magic = "gzip"', "magic")]
)
def test_rules_for_files_do_not_fit_folders(tmp_path, rule, key):
    (tmp_path / "in").mkdir()
    text = f'[pipelines.p]\nitems = "folders"\nsources.s.folder = "in"\n[pipelines.p.validate]\n{rule}\n'
    found = problems(tmp_path, text + '[pipelines.p.steps.s]\nrun = "true"\n')
    assert f"`{key}` is for items that are files" in found[0]


def test_a_folder_of_folders_leaves_out_the_one_with_the_project(tmp_path):
    """The item that it would be is the folder right in the source, however deep the project is."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    text = '[pipelines.p]\nitems = "folders"\n[pipelines.p.sources.s]\nfolder = "../.."\n{}'
    text += '[pipelines.p.steps.s]\nrun = "true"\n'
    (found,) = problems(inner, text.format(""))
    assert 'set `exclude = ["a"]`' in found
    assert load(inner, text.format('exclude = ["a"]\n')).problems == ()
    assert problems(inner, text.format('exclude = ["b"]\n'))


PLACES = {  # keys of sources, and the places that they are for
    "folder": "glob exclude temporary manifest fields parts complete_when overdue settle",
    "table": "columns separator params settle",
    "listing": "settle",
    "command": "every timeout",
    "feed": "selector path password_file states logs params",
    "pipeline": "complete_when overdue settle step group_by where members count allow_failed volume pack",
}


def test_each_key_of_a_source_is_for_some_places():
    """Dropping one from the list drops it from the test below as well."""
    known = {
        key: {one for one, keys in PLACES.items() if key in keys.split()} for key in sources._OF
    }
    assert {key: set(places) for key, places in sources._OF.items()} == known
    assert set(known) == set(" ".join(PLACES.values()).split())


@pytest.mark.parametrize("key", ["selector", "path", "password_file", "states", "logs", "every"])
def test_a_key_of_another_place_is_a_mistake(tmp_path, key):
    (tmp_path / "in").mkdir()
    value = {"selector": "{}", "states": "{}", "logs": "true", "every": '"5m"'}.get(key, '"x"')
    text = f'[pipelines.p.sources.s]\nfolder = "in"\n{key} = {value}\n'
    text += '[pipelines.p.steps.s]\nrun = "true"\n'
    place = "command" if key == "every" else "feed"
    assert f"stoker.toml:3: `{key}` is for a source with a `{place}`" in problems(tmp_path, text)


def test_a_wrong_recipient_is_found_at_its_line(tmp_path):
    text = '[notify.lab]\nto = [\n"a@example.org",\n"nobody at all",\n]\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("stoker.toml:4: ")
