import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.errors import UserError
from stoker.model.id_types import AttemptId
from stoker.model.pipeline import (
    Argv,
    ItemKind,
    Output,
    Param,
    ParamType,
    Pipeline,
    Run,
    Step,
)
from stoker.model.task import Produced
from stoker.spec.parts import Literal, Placeholder, parse
from stoker.spec.template import CODE_VARIABLES, compile_step, find_mistakes
from unit.spec.shell_cases import context_of, pipeline_of


def pipeline_with(action=None, *, items=ItemKind.FILES, **step):
    base = pipeline_of(":")
    before = base.step("before")
    main = Step(name="main", action=action or Argv(words=("true",)), after=("before",), **step)
    return Pipeline(
        name="p", folder="/project", steps=(before, main), params=base.params, items=items
    )


def argv_of(*words, **claimed):
    pipeline = pipeline_with(Argv(words=words), outputs=(Output(name="o", to="r/{key}"),))
    return compile_step(pipeline, pipeline.step("main")).command(context_of(**claimed)).argv


def parts_of(text):
    return [
        part.text if isinstance(part, Literal) else (part.name, part.separator)
        for part in parse(text)
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("plain", ["plain"]),
        ("{key}", [("key", None)]),
        ("a{in.make.kwd}b", ["a", ("in.make.kwd", None), "b"]),
        ("{params.l:,}", [("params.l", ",")]),
        ("{params.l: }", [("params.l", " ")]),
        ("{params.l:}", ["{params.l:}"]),
        ("{{key}}", ["{key}"]),
        ("{{params.l:,}}", ["{params.l:,}"]),
        ("${key} ${{key}} $${key}", ["${key} ${{key}} $${key}"]),
        ("${x:-{key}}", ["${x:-", ("key", None), "}"]),
        ("{a,b} {1..3} { key } {} {{}} {-x}", ["{a,b} {1..3} { key } {} {{}} {-x}"]),
        ("awk '{ print $1 }'", ["awk '{ print $1 }'"]),
        ('{"key": 1}', ['{"key": 1}']),
        ("{schlüssel}", ["{schlüssel}"]),
        ("{key}{key}", [("key", None), ("key", None)]),
    ],
)
def test_parts(text, parts):
    assert parts_of(text) == parts


@given(st.text(alphabet="{}$:.,abc \n'\\"))
def test_any_text_has_parts_that_cover_it(text):
    remaining = 0
    for part in parse(text):
        if isinstance(part, Placeholder):
            shown = part.name if part.separator is None else f"{part.name}:{part.separator}"
            assert text.startswith(f"{{{shown}}}", part.offset)
            remaining += len(shown) + 2
        else:
            remaining += len(part.text)
    assert len(text) - 2 * text.count("{{") <= remaining <= len(text)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("{item}", ["/data/a/b.tar.gz"]),
        ("{key}", ["a/b.tar.gz"]),
        ("{name} {stem} {suffix}", ["b.tar.gz b.tar .gz"]),
        ("{dir}", ["/data/a"]),
        ("{params.x}", ["v"]),
        ("{params.f}", ["1.5"]),
        ("{params.l}", ["1", "2"]),
        ("{params.l:,}", ["1,2"]),
        ("--omit={params.l:;}", ["--omit=1;2"]),
        ("{in.before.one}", ["/r/one"]),
        ("{in.before.some}", ["/r/a", "/r/b"]),
        ("{in.before.some::}", ["/r/a:/r/b"]),
        ("{in.before.values.n}", ["7"]),
        ("{in.before.values.list}", ["1", "b"]),
        ("{out.o}", ["/scratch/1/o"]),
        ("{scratch}/x", ["/scratch/1/x"]),
        ("{cpus}-{memory_bytes}", ["2-1024"]),
        ("{meta.run}", ["5"]),
        ("{{key}} ${HOME} {a,b}", ["{key} ${HOME} {a,b}"]),
        ("$(rm -rf /)", ["$(rm -rf /)"]),
    ],
)
def test_words_of_argv(word, words):
    assert argv_of("tool", word, meta={"run": 5}) == ("tool", *words)


@pytest.mark.parametrize("value", ["$(x)", "", "-n", "a b", "\n", "\udcff", "{key}", "*"])
def test_value_is_one_word_of_argv_untouched(value):
    assert argv_of("tool", "{params.x}", "<{params.x}>", params={"x": value}) == (
        "tool",
        value,
        f"<{value}>",
    )


@pytest.mark.parametrize(
    ("value", "group"),
    [
        (["1", "2"], ("--omit", "1,2")),
        ([], ()),
        (None, ()),
    ],
)
def test_group_vanishes_with_an_empty_value(value, group):
    words = ("tool", ("--omit", "{params.l:,}"), "end")
    assert argv_of(*words, params={"l": value}) == ("tool", *group, "end")


def test_group_stays_with_values_that_are_false_but_not_empty():
    words = ("tool", ("-x", "{params.x}"))
    for value, shown in ((0, "0"), (False, "false"), (0.0, "0.0"), (" ", " ")):
        assert argv_of(*words, params={"x": value}) == ("tool", "-x", shown)
    assert argv_of(*words, params={"x": ""}) == ("tool",)


def test_group_of_plain_words_stays_and_list_in_it_spreads():
    assert argv_of("t", ("-a", "b"), ("-l", "{params.l}")) == ("t", "-a", "b", "-l", "1", "2")


def test_optional_output_that_is_missing_makes_its_group_vanish():
    produced = {"before": Produced(attempt=AttemptId(b"x" * 16), outputs={"one": ("/r/one",)})}
    words = ("t", ("--some", "{in.before.some}"), "{in.before.one}")
    assert argv_of(*words, produced=produced) == ("t", "/r/one")


SKIPPED = [
    Produced(attempt=None),
    Produced(attempt=AttemptId(b"x" * 16), left_nothing=True),  # by its exit code
]


@pytest.mark.parametrize("before", SKIPPED)
def test_predecessor_that_was_skipped_gives_the_empty_word(before):
    produced = {"before": before}
    words = ("t", ("--one", "{in.before.one}"), ("--n", "{in.before.values.n}"))
    assert argv_of(*words, produced=produced) == ("t",)
    words = ("t", "{in.before.one}", "{in.before.values.n}", "--in={in.before.one}")
    assert argv_of(*words, produced=produced) == ("t", "", "", "--in=")


@pytest.mark.parametrize("before", SKIPPED)
@pytest.mark.parametrize("word", ["{in.before.one}/x", "--in={in.before.one}/x"])
def test_no_path_begins_at_the_root_because_a_step_was_skipped(before, word):
    with pytest.raises(UserError, match=r"`\{in\.before\.one\}` is empty for this item"):
        argv_of("t", word, produced={"before": before})
    run = pipeline_with(Run(text=f'rm -rf "{word}"'))
    plan = compile_step(run, run.step("main"))
    with pytest.raises(UserError, match="is empty for this item"):
        plan.command(context_of(produced={"before": before}))
    assert argv_of("t", "a{in.before.one}/x", produced={"before": before}) == ("t", "a/x")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("{meta.gone}", r"`a/b\.tar\.gz` has no `meta\.gone`"),
        ("{in.before.values.gone}", "`before` left no value `gone`"),
    ],
)
def test_missing_value_is_said(word, message):
    with pytest.raises(UserError, match=message):
        argv_of("t", word)


def test_missing_output_is_said():
    produced = {"before": Produced(attempt=AttemptId(b"x" * 16), outputs={"some": ("/r/a",)})}
    with pytest.raises(UserError, match="`before` left no output `one`"):
        argv_of("t", "{in.before.one}", produced=produced)


def test_record_has_a_name_from_its_key():
    assert argv_of("{key}", "{name}", "{stem}", "{suffix}", "{dir}", path=None) == (
        "a/b.tar.gz",
        "b.tar.gz",
        "b.tar",
        ".gz",
        "a",
    )
    assert argv_of("{dir}", "{suffix}{stem}", path=None, key=".hidden") == (".", ".hidden")


def test_env_is_filled_in():
    pipeline = pipeline_with(env={"A": "{key}:{params.l:,}", "B": "plain {{key}}"})
    plan = compile_step(pipeline, pipeline.step("main"))
    assert not plan.is_constant
    assert plan.command(context_of()).env == {"A": "a/b.tar.gz:1,2", "B": "plain {key}"}


def test_constant_command_is_made_once():
    pipeline = pipeline_with(Argv(words=("/bin/true", ("a", "b"), "{{key}}")), env={"A": "1"})
    plan = compile_step(pipeline, pipeline.step("main"))
    assert plan.is_constant
    command = plan.command(context_of())
    assert (command.argv, command.env) == (("/bin/true", "a", "b", "{key}"), {"A": "1"})
    assert plan.command(context_of(key="other")) is command


def test_a_list_alone_in_a_variable_is_a_mistake():
    (found,) = mistakes(env={"A": "{params.l}"})
    assert (found.path, found.hint) == (("env", "A"), "join it: `{params.l:,}`")


def mistakes(action=None, *, items=ItemKind.FILES, **step):
    pipeline = pipeline_with(action, items=items, **step)
    return find_mistakes(pipeline, pipeline.step("main"))


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("{kye}", "`{kye}` is not a name", "did you mean `key`?"),
        ("{print}", "`{print}` is not a name", "write `{{print}}`"),
        ("{params.y}", "`{params.y}` is not a parameter", "`x`"),
        ("{param.x}", "`{param.x}` is not a name", "did you mean `params`?"),
        ("{params}", "wrong number of parts", "`{params.NAME}`"),
        ("{key.x}", "wrong number of parts", ""),
        ("{in.befor.one}", "there is no other step `befor`", "did you mean `before`?"),
        ("{in.main.one}", "there is no other step `main`", ""),
        ("{in.before.onne}", "`before` has no output `onne`", "did you mean `one`?"),
        ("{in.before.x.y}", "too many parts", ""),
        ("{out.p}", "`{out.p}` is not an output of this step", "`o`"),
        ("{out.picked}", "`from` picks", ""),
        ("{slot.gpu}", "not a pool that this step takes", "pools = { gpu = 1 }"),
        ("x{params.l}", "is a list and stands inside a word", "`{params.l:,}`"),
    ],
)
def test_mistakes_in_names(word, message, hint):
    outputs = (Output(name="o", to="r"), Output(name="picked", to="q/", pick="*"))
    found = mistakes(Argv(words=("t", word)), outputs=outputs)
    assert len(found) == 1
    assert message in found[0].message
    assert hint in found[0].hint
    assert found[0].path == ("argv", 1)


def test_mistakes_elsewhere_have_their_path():
    found = mistakes(
        Argv(words=("t", ("-x", "{kye}"))),
        env={"A": "{nope}"},
        outputs=(Output(name="o", to="{out.o}/{scratch}"),),
    )
    assert {finding.path for finding in found} == {("argv", 1, 1), ("env", "A"), ("outputs", "o")}
    assert len(found) == 4


def test_mistakes_in_run_have_their_line():
    found = mistakes(Run(text="echo\n{kye}\necho '{key}'\n"))
    assert [finding.line for finding in found] == [2, 3]


def test_record_has_no_path():
    assert (
        "records have none" in mistakes(Argv(words=("{item}",)), items=ItemKind.RECORDS)[0].message
    )


def test_the_variables_that_are_run_are_all_there():
    """Dropping one from the list drops it from the test below as well."""
    of_bash = "BASH_ENV ENV PS0 PS1 PS2 PS3 PS4 PROMPT_COMMAND"
    of_the_loader = "LD_PRELOAD LD_AUDIT"
    of_languages = (
        "PERL5OPT PERL5DB PYTHONSTARTUP PYTHONBREAKPOINT RUBYOPT NODE_OPTIONS JAVA_TOOL_OPTIONS "
        "JDK_JAVA_OPTIONS R_PROFILE R_PROFILE_USER"
    )
    of_programs = "GIT_SSH_COMMAND RSYNC_RSH LESSOPEN"
    names = f"{of_bash} {of_the_loader} {of_languages} {of_programs}".split()
    assert sorted(CODE_VARIABLES) == sorted(names)


@pytest.mark.parametrize("name", sorted(CODE_VARIABLES))
def test_values_do_not_go_into_variables_that_are_run(name):
    assert "run as code" in mistakes(env={name: "{params.x}"})[0].message
    assert mistakes(env={name: "/lib/x"}) == []


def test_compiling_what_is_wrong_names_every_mistake():
    pipeline = pipeline_with(Argv(words=("{kye}", "{nope}")))
    with pytest.raises(UserError, match=r"step `main` of pipeline `p`.*kye.*nope"):
        compile_step(pipeline, pipeline.step("main"))


def targets(to, **claimed):
    pipeline = pipeline_with(outputs=(Output(name="o", to=to),))
    return compile_step(pipeline, pipeline.step("main")).targets(context_of(**claimed))["o"]


@pytest.mark.parametrize(
    ("to", "path"),
    [
        ("results/{key}.kwd", "/project/results/a/b.tar.gz.kwd"),
        ("results/{key}/", "/project/results/a/b.tar.gz/"),
        ("results/logs/", "/project/results/logs/"),
        ("/abs/{name}", "/abs/b.tar.gz"),
        ("../shared/{stem}", "/shared/b.tar"),
        ("{dir}/{stem}.out", "/data/a/b.tar.out"),
        ("{item}.idx", "/data/a/b.tar.gz.idx"),
        ("r{item}", "/project/r/data/a/b.tar.gz"),
        ("{in.before.one}.idx", "/r/one.idx"),
        ("r/{params.x}/{params.n}-{params.l:+}", "/project/r/v/3-1+2"),
        ("r//{params.x}", "/project/r/v"),
        ("r/a..b{params.x}", "/project/r/a..bv"),
        ("fixed", "/project/fixed"),
    ],
)
def test_targets(to, path):
    assert targets(to) == path


@pytest.mark.parametrize(
    ("to", "value"),
    [
        ("r/{params.x}", "../up"),
        ("r/{params.x}", ".."),
        ("r/{params.x}", "a/../../../etc/passwd"),
        ("r/{params.x}", "/etc/passwd"),
        ("{params.x}", "/etc/passwd"),
        ("{params.x}/a", ".."),
        ("r/.{params.x}/a", "."),
        ("r/{params.x}", ""),
        ("r/{params.x}", "."),
        ("r/{params.x}", "a/"),
        ("r/{params.x}/", ""),
        ("r/{params.x}{params.x}/f", "."),
        ("r/{params.x}", "a\0b"),
    ],
)
def test_target_that_leaves_its_folder_is_refused(to, value):
    with pytest.raises(UserError):
        targets(to, params={"x": value})


def test_target_from_an_output_that_is_missing_is_refused():
    with pytest.raises(UserError, match="has no path"):
        targets("{in.before.one}.idx", produced={})


@given(st.lists(st.sampled_from(["a", "..", ".", "/", "", "\n", "//", "b/"]), max_size=5))
def test_no_value_leads_out(pieces):
    value = "".join(pieces)
    try:
        path = targets("r/s/{params.x}{meta.y}.out", params={"x": value}, meta={"y": value})
    except UserError:
        return
    assert path.startswith("/project/r/s/")
    assert path != "/project/r/s/"


def test_choice_of_scalar_or_list_by_declaration():
    pipeline = Pipeline(
        name="p",
        folder="/f",
        steps=(Step(name="s", action=Argv(words=("t", "{params.c}"))),),
        params=(Param(name="c", type=ParamType.CHOICE, choices=("a",), default="a"),),
    )
    plan = compile_step(pipeline, pipeline.step("s"))
    assert plan.command(context_of(params={})).argv == ("t", "a")
