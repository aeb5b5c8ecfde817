import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stoker.errors import UserError
from stoker.spec.evaluation import find_construct
from stoker.spec.shell import find_syntax_error
from stoker.spec.template import compile_script, compile_step
from unit.spec.shell_cases import (
    HOSTILE,
    PRINTING,
    PRINTING_LINES,
    claimed_of,
    context_of,
    mistakes_of,
    pipeline_of,
    run_text,
)


@pytest.mark.parametrize("place", [*PRINTING, *PRINTING_LINES])
def test_value_arrives_byte_for_byte_and_is_never_run(place, tmp_path):
    text = (PRINTING | PRINTING_LINES)[place]
    end = b"\n" if place in PRINTING_LINES else b""
    pipeline = pipeline_of(text)
    plan = compile_step(pipeline, pipeline.step("main"))
    construct = construct_of(text)
    bodies = {}
    for value in HOSTILE:
        if construct is not None and set(construct.forbidden) & set(value):
            with pytest.raises(UserError, match=r"^`\{params\.x\}` contains"):
                plan.command(context_of(params={"x": value}))
        else:
            bodies[value] = plan.command(context_of(params={"x": value})).argv
    script = next(iter(bodies.values()))[4]
    assert all(argv[4] == script for argv in bodies.values())
    ran = _run_all(script, [argv[6:] for argv in bodies.values()], tmp_path)
    assert not (tmp_path / "pwned").exists()
    for value, (code, out, err) in zip(bodies, ran, strict=True):
        assert (code, out, err) == (0, os.fsencode(value) + end, b""), f"{place}: {value!r}"


def construct_of(text):
    """Return the construct that the text has as bash gets it."""
    pipeline = pipeline_of(text)
    step = pipeline.step("main")
    return find_construct(compile_script(pipeline, step, step.action))


def _run_all(script, arguments, folder):
    """Run `script` once for each list of arguments; all from one bash that does nothing else."""
    import subprocess

    feed = b"".join(
        str(len(words)).encode() + b"\0" + b"".join(os.fsencode(word) + b"\0" for word in words)
        for words in arguments
    )
    driver = """
number=0
while IFS= read -r -d '' count; do
  words=()
  for ((i = 0; i < count; i++)); do IFS= read -r -d '' word; words+=("$word"); done
  code=0
  bash -euo pipefail -c "$SCRIPT" stoker "${words[@]}" > "$OUT/$number.out" 2> "$OUT/$number.err" \\
    < /dev/null || code=$?
  echo $code > "$OUT/$number.code"
  number=$((number + 1))
done
"""
    out = folder.parent / f"{folder.name}-out"
    out.mkdir()
    subprocess.run(
        ["bash", "-c", driver],
        input=feed,
        env={"PATH": os.environ["PATH"], "SCRIPT": script, "OUT": str(out), "LC_ALL": "C.UTF-8"},
        cwd=folder,
        check=True,
        timeout=60,
    )
    return [
        (
            int((out / f"{number}.code").read_text()),
            (out / f"{number}.out").read_bytes(),
            (out / f"{number}.err").read_bytes(),
        )
        for number in range(len(arguments))
    ]


_values = st.text(
    st.one_of(
        st.sampled_from("$`\"'\\(){}[]<>|&;!*?~#%=-+ \n\tanx1"),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
    ),
    max_size=30,
).filter(lambda value: os.fsdecode(os.fsencode(value)) == value)


@settings(
    max_examples=60,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
    derandomize=False,
)
@given(place=st.sampled_from([*PRINTING, *PRINTING_LINES]), value=_values)
def test_any_value_arrives_byte_for_byte(place, value, tmp_path):
    text = (PRINTING | PRINTING_LINES)[place]
    end = b"\n" if place in PRINTING_LINES else b""
    construct = construct_of(text)
    assume(construct is None or not set(construct.forbidden) & set(value))
    ran = run_text(text, tmp_path, x=value)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, os.fsencode(value) + end, b"")
    assert set(ran.left) <= {"a", "b", "f"}


REFUSED = {
    "echo '{key}'": "inside single quotes",
    "echo 'a'\"'\"'{key}'": "inside single quotes",
    "echo $'{key}'": "inside `$'…'`",
    'echo $"{key}"': 'inside `$"…"`',
    "cat <<'EOF'\n{key}\nEOF": "whose word is quoted",
    'cat <<"EOF"\n{key}\nEOF': "whose word is quoted",
    "cat <<\\EOF\n{key}\nEOF": "whose word is quoted",
    "cat <<-'EOF'\n\t{key}\n\tEOF": "whose word is quoted",
    "cat <<{key}\nx\n{key}\n": "bash",
    ": # {key}": "in a comment",
    "echo $(({key}))": "where bash calculates",
    "echo $(( {key} + 1 ))": "where bash calculates",
    "echo $(( 1 + {params.x} ))": "where bash calculates",
    'echo "$(( {params.x} ))"': "where bash calculates",
    "echo $((1{params.n}))": "where bash calculates",
    "echo $[ {key} ]": "where bash calculates",
    "(( {key} > 1 ))": "where bash calculates",
    "(({key}))": "where bash calculates",
    "if (( {params.x} )); then :; fi": "where bash calculates",
    "for ((i = 0; i < {params.x}; i++)); do :; done": "where bash calculates",
    "for ((i = {params.f}; i < 2; i++)); do :; done": "where bash calculates",
    "let a={key}": "where bash calculates",
    'let "a={key}"': "where bash calculates",
    "\\let a={key}": "where bash calculates",
    "a[{key}]=1": "where bash calculates",
    "a=([{key}]=1)": "where bash calculates",
    "echo ${a[{key}]}": "where bash calculates",
    "echo ${y:{key}}": "where bash calculates",
    "cat <<EOF\n$(( 1 + {key} ))\nEOF": "where bash calculates",
    "cat <<EOF\n$(( {params.n} ))\nEOF": "not certain",  # the grammar takes this for a command
    "[ {params.x} {key} ]": "stumbles",
    "{params.x}=1": "as the name of a variable",
    "declare {params.x}=1": "as the name of a variable",
    "for {params.x} in a; do :; done": "as the name of a variable",
    "{params.x}() { :; }": "as the name of a function",
    "function {params.x} { :; }": "as the name of a function",
    "true\n\\eval {params.x}": "stumbles",
    "cat <<EOF\n`basename {key}`\nEOF": "backquote",
    "echo \\{key}": "after a backslash",
    'echo "\\{key}"': "after a backslash",
    "echo \\\\\\{key}": "after a backslash",
    "v={params.l}": "as a list where one word stands",
    'echo "{params.l}"': "as a list where one word stands",
    "echo a{params.l}": "as a list where one word stands",
    "cat < {params.l}": "as a list where one word stands",
    "echo ${x:-{params.l}}": "as a list where one word stands",
    "echo ${__stoker_1}{key}": "Stoker's own",
    "cat <<A <<B\n{key}\nA\n{key}\nB": "stumbles",
}


@pytest.mark.parametrize("text", REFUSED)
def test_place_is_refused(text):
    messages = mistakes_of(text)
    assert messages != []
    assert REFUSED[text] in " ".join(messages)


@pytest.mark.parametrize("operator", ["-eq", "-ne", "-lt", "-le", "-gt", "-ge"])
def test_each_comparison_of_numbers_takes_integers_only(operator):
    for text in (f"[[ {{key}} {operator} 1 ]]", f"[[ ! 1 {operator} {{params.x}} ]]"):
        assert "where bash calculates" in " ".join(mistakes_of(text))
    assert mistakes_of(f"[[ {{params.n}} {operator} 1 ]]; [ {{key}} {operator} 1 ]") == []


@pytest.mark.parametrize(
    "text",
    [
        "echo {{key}} ${key} {a,b} {1..3} ${x:-y}",
        "awk '{ print $1 }' {item} > {out.o}",
        "n=$(( $(wc -l < {item}) + 1 )); [[ $(wc -l < {item}) -eq $n ]]",
        'export "X=$(basename {key})"; export "Y={key}"',
        'b=`basename {key}`; echo "`basename {key}`"',
        "cat <<EOF\n$(basename {key}) ${x:-{key}}\nEOF",
        'echo ${x:-{key}} "${x:-{key}}" ${x/{key}/b} "${x%{key}}"',
        "v={key}; echo $((v + 1)) ${y:$v} ${y: -$v:2} ${y:0:$v}",
        "eval {key}; unset {key}; read {key}; test -v {key}; {key} a; . {key}",
        "cat <<EOF {key}\nx\nEOF",
        "echo a >&{key}",
        "declare -A m; k={key}; m[$k]=1",
        "{in.before.one} --in {item}",
        "exec {in.before.one} {key}",
        '"$tool" {key}',
        'tool "${options[@]}" $more {key}',
        '"${tool[@]}" {item}',
        "v=1; w={key}; echo $((v + 1)) $w",
        "xargs -0 -n 1 tool {key}",
        "env A={key} B=1 {in.before.one} {key}",
        "tool \\\n  --in {item} \\\n  --out {out.o}",
        "tool 'a\nb' {key} \"c\nd\"",
        "source {in.before.one}",
        "bash {in.before.one} {key}",
        "bash -- {item}",
        "grep -q x {item} && [ -e {item} ] && test -s {item} && test {key} = a",
        "printf -- '%s' {key}",
        "python3 - {item} > {out.o} <<'EOF'\nimport sys\nEOF",
        "cat > {out.o} 2>&1 <<EOF | sort\n{key}\nEOF",
        "read -r a <<< {key}",
        'while read -r line; do echo "$line"; done < {item}',
        "ssh host 'cat > x' < {item}",
        "bash script.sh <<EOF\n{key}\nEOF",
        "echo {params.l} {in.before.some} {params.l:,} '{{key}}'",
        'echo {meta.x} "{meta.x}" {in.before.values.n} {slot.gpu} {slot.ram} {cpus}',
    ],
)
def test_place_is_fine(text):
    assert mistakes_of(text) == []
    pipeline = pipeline_of(text)
    step = pipeline.step("main")
    assert find_syntax_error(compile_script(pipeline, step, step.action)) is None


def test_list_becomes_several_words(tmp_path):
    show = "printf '<%s>' x {params.l} y"
    for words in (
        [],
        ["a"],
        ["a b", "", "$(touch pwned)", "*", "\n", "-n"],
        [str(n) for n in range(20)],
    ):
        ran = run_text(show, tmp_path, l=words)
        assert ran.stdout.decode() == "".join(f"<{word}>" for word in ["x", *words, "y"])
        assert ran.left == []


def test_several_lists_and_many_values_keep_apart(tmp_path):
    text = (
        "printf '<%s>' {params.l} {params.x} {in.before.some} {params.l:,} {params.n} {key} {name} "
        '{stem} {suffix} {dir} {cpus} {memory_bytes} {slot.gpu} {slot.ram} {params.f} "$#"'
    )
    ran = run_text(text, tmp_path, l=["a", "b c"], x="")
    expected = "a|b c||/r/a|/r/b|a,b c|3|a/b.tar.gz|b.tar.gz|b.tar|.gz|/data/a|2|1024|g0|0|1|1.5|0"
    assert ran.stdout.decode() == "".join(f"<{word}>" for word in expected.split("|"))


def test_list_in_an_array_and_a_loop(tmp_path):
    text = 'a=(x {params.l}); for v in {params.l} z; do a+=("$v"); done; printf \'<%s>\' "${a[@]}"'
    assert run_text(text, tmp_path, l=["1 2", "*"]).stdout == b"<x><1 2><*><1 2><*><z>"
    assert run_text(text, tmp_path, l=[]).stdout == b"<x><z>"


@pytest.mark.parametrize(("n", "sum_"), [(5, 8), (-5, -2), (0, 3)])
def test_integer_parameter_calculates(n, sum_, tmp_path):
    text = (
        'declare -i v={params.n}; echo $((3+{params.n})) "$((3 - {params.n}))"; '
        "for ((i=0; i<{params.n}; i++)); do printf .; done; "
        "if [[ {params.n} -eq 5 ]]; then echo five; fi; (( {params.n} == v ))"
    )
    ran = run_text(text, tmp_path, n=n)
    assert (ran.exit_code, ran.stderr) == (0, b"")
    assert ran.stdout.decode().split()[:2] == [str(sum_), str(3 - n)]


@pytest.mark.parametrize(
    "text",
    [
        "echo $(({params.n}))",
        'echo $(( "{params.n}" ))',
        "[[ {params.n} -eq 1 ]]",
        "let m={params.n}",
        "a[{params.n}]=1",
        "a=([{params.n}]=1)",
        "echo ${y:{params.n}}",
    ],
)
def test_integer_is_verified_when_it_is_used(text, tmp_path):
    """A value that was registered under other rules must not slip through."""
    with pytest.raises(UserError, match="not an integer"):
        run_text(text, tmp_path, n="a[0]")
    assert list(tmp_path.iterdir()) == []


def test_integer_is_an_operand_in_every_way(tmp_path):
    text = (
        "a=(1 2 3); a[{params.n}]=7; b=([{params.n}]=8); let m={params.n}+1; y=abcdef; "
        'echo ${a[{params.n}]} "${a[{params.n}]}" "${!b[@]}" $m ${y:{params.n}} $(("{params.n}"))'
    )
    assert run_text(text, tmp_path, n=1).stdout == b"7 7 1 2 bcdef 1\n"


def test_value_inside_an_expansion(tmp_path):
    text = (
        'y="<{params.x}>"; x=; '
        'printf "%s|" ${x:-{params.x}} "${x:-{params.x}}" "${y#<{params.x}}" "${y/{params.x}/-}"'
    )
    assert run_text(text, tmp_path, x="a  *&").stdout == b"a  *&|a  *&|>|<->|"


def test_several_values_inside_a_word_are_refused_when_they_come():
    pipeline = pipeline_of('echo "{meta.x}"')
    plan = compile_step(pipeline, pipeline.step("main"))
    assert plan.command(context_of(meta={"x": 5})).argv[6:] == ("5",)
    with pytest.raises(UserError, match=r"meta\.x:,"):
        plan.command(context_of(meta={"x": [1, 2]}))


def test_nul_byte_is_refused():
    pipeline = pipeline_of("echo {params.x}")
    plan = compile_step(pipeline, pipeline.step("main"))
    with pytest.raises(UserError, match="NUL"):
        plan.command(context_of(params={"x": "a\0b"}))


def test_values_do_not_reach_the_environment_of_children(tmp_path):
    ran = run_text("env | grep -c stoker || true; : {params.x}", tmp_path, x="secret")
    assert ran.stdout == b"0\n"


def test_messages_of_bash_have_the_author_s_lines(tmp_path):
    ran = run_text("true\n\nfalse_command {params.x}\n", tmp_path)
    assert ran.exit_code == 127
    assert b"main: line 3: false_command" in ran.stderr


def test_fails_at_the_first_failing_command(tmp_path):
    assert run_text("false | true; echo {params.x}", tmp_path).exit_code == 1
    assert run_text("echo $undefined {params.x}", tmp_path).exit_code == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [("if true; then\necho\n", 2), ("echo a\necho )\n", 2), ("case x in\n", 1), ("echo 'a", 1)],
)
def test_syntax_error_has_a_line(text, line):
    found = find_syntax_error(text)
    assert found is not None
    assert found[0] == line


def test_syntax_check_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_syntax_error("touch pwned; echo $(touch pwned)") is None
    assert list(tmp_path.iterdir()) == []


def test_command_is_made_of_positional_arguments():
    pipeline = pipeline_of("echo {params.x}")
    plan = compile_step(pipeline, pipeline.step("main"))
    argv = plan.command(context_of()).argv
    assert argv[:4] == ("bash", "-euo", "pipefail", "-c")
    assert argv[5:] == ("main", "v")
    assert claimed_of().params["x"] not in argv[4].split()
