import os
import re
import subprocess

import pytest

from shells import VERSIONS, bash
from stoker.errors import UserError
from stoker.model.pipeline import Argv, Run
from stoker.spec import evaluation
from stoker.spec.evaluation import SUBSTITUTION, find_construct
from stoker.spec.template import compile_step, find_mistakes
from unit.spec.shell_cases import context_of, pipeline_of
from unit.spec.shell_contexts import EVALUATING, HOT, ORDINARY, TAME

# All cases run in one bash: each in a subshell, which a call of `pwn` from whatever runs leaves a
# file for.
DRIVER = r"""
pwn() { : > "$FOUND"; }
export -f pwn
while IFS= read -r -d '' number && IFS= read -r -d '' text && IFS= read -r -d '' value; do
  ( set -euo pipefail; set --; x=$value; eval "$text" ) > /dev/null 2>&1 < /dev/null
  if [ -e "$FOUND" ]; then echo "$number"; rm -f "$FOUND"; fi
done
"""


def run_all(version, texts, values, folder):
    """Return the texts that ran a value, each with the values that it ran."""
    cases = [(text, value) for text in texts for value in values]
    feed = "".join(f"{number}\0{text}\0{value}\0" for number, (text, value) in enumerate(cases))
    work = folder / "work"
    work.mkdir()
    done = subprocess.run(
        [bash(version), "-c", DRIVER],
        input=feed.encode(),
        cwd=work,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "FOUND": str(folder / "found")},
        capture_output=True,
        check=True,
        timeout=120,
    )
    ran = {}
    for number in map(int, done.stdout.split()):
        text, value = cases[number]
        ran.setdefault(text, []).append(value)
    return ran


def test_each_text_of_the_table_runs_a_value(tmp_path):
    """Otherwise the table would show nothing."""
    ran = run_all("5.1", EVALUATING, HOT, tmp_path)
    assert [text for text in EVALUATING if text not in ran] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_no_value_that_is_let_through_is_run(version, tmp_path):
    by_forbidden = {}
    for text in EVALUATING:
        construct = find_construct(text)
        assert construct is not None, text
        by_forbidden.setdefault(construct.forbidden, []).append(text)
    for number, (forbidden, texts) in enumerate(by_forbidden.items()):
        values = [value for value in TAME if not set(value) & set(forbidden)]
        assert len(values) >= len(TAME) - 1
        folder = tmp_path / str(number)
        folder.mkdir()
        ran = run_all(version, texts, values, folder)
        assert set(ran) <= RUN_ANYTHING


# `mapfile -C` is for running code, and `check` warns of a value there.
RUN_ANYTHING = {'mapfile -C "$x" -c 1 a <<< a'}


@pytest.mark.parametrize("version", VERSIONS)
def test_ordinary_text_runs_no_value(version, tmp_path):
    assert [text for text in ORDINARY if find_construct(text) is not None] == []
    assert run_all(version, ORDINARY, HOT, tmp_path) == {}


@pytest.mark.parametrize("text", EVALUATING)
def test_an_attempt_with_a_substitution_in_a_value_does_not_start(text):
    plan, context = planned(f"x=$STOKER_PARAM_X\n{text}")
    for value in HOT:
        with pytest.raises(UserError, match=r"^`\{params\.x\}` contains "):
            plan.command(context(params={"x": value}))
    assert plan.command(context(params={"x": "a[0] {b} (c); 'd' & |"})).argv


def planned(text, *, prepare=None, env=None, action=None):
    """The plan of a step with that text, and what makes contexts for it."""
    import dataclasses

    pipeline = pipeline_of(text)
    changed = {"prepare": prepare, "env": env or {}, "action": action or Run(text=text)}
    step = dataclasses.replace(pipeline.step("main"), **changed)
    pipeline = dataclasses.replace(pipeline, steps=(pipeline.steps[0], step))
    return compile_step(pipeline, step), context_of


def reason(plan, context):
    with pytest.raises(UserError) as caught:
        plan.command(context)
    return str(caught.value)


CALCULATES = "n=3; echo $((n + 1))"


@pytest.mark.parametrize(
    ("text", "changes", "name"),
    [
        (CALCULATES, {"key": "a$b"}, "{key}"),
        (CALCULATES, {"path": "/data/a<b"}, "{item}"),
        (CALCULATES, {"params": {"gain": "`a`"}}, "{params.gain}"),
        (CALCULATES, {"params": {"l": ["a", ">b"]}}, "{params.l}"),
        (CALCULATES, {"slots": {"gpu": ("$1",)}}, "{slot.gpu}"),
        (f"{CALCULATES} {{meta.x}}", {"meta": {"x": {"y": "$"}}}, "{meta.x}"),
        (f"{CALCULATES} {{stem}}", {"path": "/d$/x", "key": "x"}, "{item}"),
    ],
)
def test_every_value_within_reach_counts(text, changes, name):
    plan, context = planned(text)
    said = reason(plan, context(**changes))
    assert said.startswith(f"`{name}` contains ")
    assert "`run` of step `main` has `((`" in said
    assert "`argv`" in said
    assert "`integer`" in said


def test_values_that_a_step_cannot_reach_do_not_count():
    plan, context = planned(CALCULATES)
    assert plan.command(context(meta={"x": "$"})).argv


def test_values_of_predecessors_and_of_env_count():
    from stoker.model.id_types import AttemptId
    from stoker.model.task import Produced

    one = Produced(attempt=AttemptId(b"1" * 16), outputs={}, values={"v": "a$"})
    plan, context = planned(f"{CALCULATES} {{in.before.values.v}}")
    assert reason(plan, context(produced={"before": one})).startswith("`{in.before.values.v}`")
    plan, context = planned(CALCULATES, env={"V": "{meta.x}"})
    assert reason(plan, context(meta={"x": "a$"})).startswith("`{meta.x}`")


def test_functions_of_prepare_count():
    plan, context = planned("f {key}", prepare="f() { local n=$1; }\nexport -f f")
    assert "`prepare` of step `main` has `local`" in reason(plan, context(key="$"))


def test_a_file_that_bash_reads_first_counts():
    plan, context = planned("f {key}", env={"BASH_ENV": "functions.sh"})
    assert "`env` of step `main` has `BASH_ENV`" in reason(plan, context(key="$"))


@pytest.mark.parametrize("shell", ["bash", "/bin/bash", "/usr/local/bin/sh"])
def test_the_text_of_a_shell_among_the_words_of_argv_counts(shell):
    words = (shell, "-c", "echo $(($1))", "x", "{key}")
    plan, context = planned("", action=Argv(words=words))
    assert "`argv` of step `main` has `((`" in reason(plan, context(key="$"))
    plan, context = planned("", action=Argv(words=("tool", "((", "{key}")))
    assert plan.command(context(key="$")).argv == ("tool", "((", "$")


@pytest.mark.parametrize("word", evaluation.WORDS)
def test_each_word_of_bash_counts(word):
    for text in (word, f"\\{word} a", f"f() {{ {word} a; }}", f"x=1; {word}\n", f"v={word}; $v a"):
        assert find_construct(text).forbidden == SUBSTITUTION, text
    for text in (f"{word}_counts", f"--{word}", f"{word}.sh", f"/opt/{word}", f"a-{word} {word}-b"):
        assert find_construct(text) is None, text


@pytest.mark.parametrize("name", evaluation.CALCULATED_VARIABLES)
def test_each_variable_that_calculates_counts(name):
    for text in (f"{name}=$x", f"{name}+=1", f"for {name} in a; do :; done", f": ${{{name}:=$x}}"):
        assert find_construct(text).forbidden == SUBSTITUTION
    assert find_construct(f"echo ${name} MY_{name}=1") is None


@pytest.mark.parametrize("name", [*evaluation.PROMPTS, *evaluation.START_FILES])
def test_each_variable_that_bash_runs_counts(name):
    assert find_construct(f"{name}=$x").forbidden >= SUBSTITUTION
    assert find_construct(f"export {name}=$x") is not None
    assert find_construct(f"MY_{name}=1; echo ${name}") is None


def test_the_lists_hold_what_bash_has():
    """Dropping a name from a list drops it from the tests above as well."""
    calculating = "let declare typeset local readonly read unset mapfile readarray source"
    assert set(evaluation.WORDS) == {*calculating.split(), "compgen", "complete"}
    assert set(evaluation.CALCULATED_VARIABLES) == {"OPTIND", "RANDOM", "SRANDOM", "HISTCMD"}
    assert set(evaluation.PROMPTS) == {*(f"PS{n}" for n in range(5)), "PROMPT_COMMAND"}
    assert set(evaluation.START_FILES) == {"BASH_ENV", "ENV"}
    assert set(SUBSTITUTION) == set("$`<>")


@pytest.mark.parametrize(
    "text",
    [
        "l\\\net x=1",
        ". ./functions.sh",
        "if true; then . f; fi",
        "X=1 . f",
        "x=$(. f)",
        "case $y in a) . f ;; esac",
        "\\. f",
        "([[ -v $x ]])",
        "true&&[[ 1 -eq x ]]",
        "[ * = $x ]",
        "[ {a,b} ]; echo $x",
        "p=printf; $p $x",
        "echo ${?:x} ${*:x}",
        "echo a >&'b'$f",
        'echo a >&"b"$f',
        '[ "$a" "$b" ]',
        '[ "$a" = 1 -o "$b" = 2 ]',
        '[ "${a[@]}" = 1 ]',
        '[ "$@" ]',
        "[ $(echo a) = 1 ]",
        '[ "a\nb" = $x ]',
        "test $a = 1",
        'op=-v; test "$op" "$y"',
        "printf -vx a",
        'printf "-v$x"',
        "printf ${x} a",
        "wait $pid",
        "echo a >& $f",
        'echo a >&"a b$f"',
        "a=(\n[$x]=1\n)",
        "a=([${b[0]}]=1)",
    ],
)
def test_construct_is_found(text):
    assert find_construct(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "find . -name '*.gz' | grep -v tmp > list",
        "cp a . && ls .",
        "echo a >&2; tool 2>&1 >& log; exec 3>&-",
        "wait; wait -n; wait 12",
        'if [ "$n" -gt 10 ] || [ ! -e "$f" ]; then printf "%s" "$n"; fi',
        '[ "$(wc -l < "$f")" -gt 10 ]',
        "echo ${x:-y} ${x:=y} ${x:+y} ${x:?y} ${x/:/y} ${a[0]} ${a[@]} ${#a[*]} a[-1]",
        "ls *.[ch] [a-z]* '[:digit:]'",
        "export A=1; A=1 tool --read 1 reads.fq local.conf",
        "a=(1 2); a[0]=1",
        "awk '{ printf(\"%s\", n) }' f",
        '[ x"$a" = "x$b" ] && [ "$a/b" != c"${d%/}" ]',
        "./configure . && make test",
    ],
)
def test_no_construct_is_found(text):
    assert find_construct(text) is None


# What scientists write. None of it is a mistake.
SCRIPTS = {
    "line count": 'n=$(wc -l < {item}); if [ "$n" -gt 10 ]; then gzip -c {item} > {out.o}; fi',
    "assigned": 'f={item}; base=$(basename "$f" .gz); tool "$f" > {out.o}',
    "size in kB": "s=$(( $(stat -c %s {item}) / 1024 )); echo $s > {out.o}",
    "files of a folder": 'for f in {item}/*.gz; do zcat "$f"; done > {out.o}',
    "mapping": (
        "set -x\nbwa mem -t {cpus} ref.fa {item} |\n  samtools sort -@ {cpus} -o {out.o} -\n"
        "samtools index {out.o}"
    ),
    "function": 'count() { local n=$1; echo $((n + 1)); }\ncount "$(wc -l < {item})" > {out.o}',
    "lines": "while IFS=$'\\t' read -r id path; do echo \"$id $path\"; done < {item} > {out.o}",
    "array": 'args=(--in {item})\n[[ {key} == *.gz ]] && args+=(--gzip)\ntool "${args[@]}" > {out.o}',
    "awk": "awk -v k={key} 'NR > 1 { n[$1]++ } END { for (i in n) print k, i, n[i] }' {item} > {out.o}",
    "clean-up": 't=$(mktemp -d)\ntrap \'rm -rf "$t"\' EXIT\ntar xf {item} -C "$t"\ntool "$t" > {out.o}',
    "counting loop": "for ((i = 1; i <= {params.n}; i++)); do tool --turn $i {item}; done > {out.o}",
    "integer": "end=$(( {params.n} + 10 ))\nif (( {params.n} > 3 )); then tool {item} $end; fi > {out.o}",
    "case": "case {suffix} in\n  .gz) zcat {item} ;;\n  *) cat {item} ;;\nesac > {out.o}",
    "here-document": "cat > config.ini <<END\n[run]\nfile = {item}\nblock = {params.x}\nEND\ntool config.ini > {out.o}",
    "conda": 'eval "$(conda shell.bash hook)"; conda activate lab; tool {item} > {out.o}',
    "parts of a name": 'f={name}; day=${f:0:8}; stem=${f%%.*}; tool "$day" "$stem" > {out.o}',
    "backquotes": 'b=`basename {item} .dat`; echo "`date` $b" > {out.o}',
    "default": 'threads=${OMP_NUM_THREADS:-{cpus}}; tool -j "$threads" {item} > {out.o}',
    "comparison": "[[ $(wc -c < {item}) -ge 100 ]] || { echo small >&2; exit 3; }",
    "random name": 'declare -A seen; seen["x"]=1; echo "${!seen[@]}" {item} > {out.o}',
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_ordinary_scripts_have_no_mistake(name):
    pipeline = pipeline_of(SCRIPTS[name])
    step = pipeline.step("main")
    assert [finding.message for finding in find_mistakes(pipeline, step)] == []
    done = subprocess.run(
        ["bash", "-n", "-c", compile_step(pipeline, step).command(context_of()).argv[4]],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_reason_groups_the_failures_of_many_items():
    plan, context = planned(CALCULATES)
    said = {reason(plan, context(key=f"a$ {number}", path=None)) for number in range(3)}
    assert len(said) == 1
    assert not re.search("a\\$", said.pop())
