import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stoker.errors import UserError
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
    bodies = []
    for value in HOSTILE:
        argv = plan.command(context_of(params={"x": value})).argv
        bodies.append(argv)
    script, arguments = bodies[0][4], [argv[6:] for argv in bodies]
    assert all(argv[4] == script for argv in bodies)
    ran = _run_all(script, arguments, tmp_path)
    assert not (tmp_path / "pwned").exists()
    for value, (code, out, err) in zip(HOSTILE, ran, strict=True):
        assert (code, out, err) == (0, os.fsencode(value) + end, b""), f"{place}: {value!r}"


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
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=False,
)
@given(place=st.sampled_from([*PRINTING, *PRINTING_LINES]), value=_values)
def test_any_value_arrives_byte_for_byte(place, value, tmp_path):
    text = (PRINTING | PRINTING_LINES)[place]
    end = b"\n" if place in PRINTING_LINES else b""
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
    'echo $(( "{params.n}" ))': "where bash calculates",
    "echo $((1{params.n}))": "where bash calculates",
    "echo $[ {key} ]": "where bash calculates",
    "(( {key} > 1 ))": "where bash calculates",
    "(({key}))": "where bash calculates",
    "if (( {params.x} )); then :; fi": "where bash calculates",
    "for ((i = 0; i < {params.x}; i++)); do :; done": "where bash calculates",
    "for ((i = {params.f}; i < 2; i++)); do :; done": "which bash calculates",
    "let a={key}": "`let` would run",
    'let "a={key}"': "`let` would run",
    "a[{key}]=1": "in a subscript",
    "a=([{key}]=1)": "in a subscript",
    "echo ${a[{key}]}": "in a subscript",
    "declare -i v={key}": "which bash calculates",
    "declare -i v; v={key}": "which bash calculates",
    "f() { local -i v; v={key}; }": "which bash calculates",
    "typeset -xi v; export v={key}": "which bash calculates",
    "declare -n v={key}": "as the name of a variable",
    "v={key}; echo $((v))": "which bash calculates",
    "v={key}; echo $((v + 1))": "which bash calculates",
    "v={key}; (( v > 1 ))": "which bash calculates",
    "v={key}; [[ $v -eq 1 ]]": "which bash calculates",
    "v={key}; a[$v]=1": "which bash calculates",
    "v={key}; echo ${b:v:1}": "which bash calculates",
    "for v in {params.l}; do echo $((v)); done": "which bash calculates",
    "[[ {key} -eq 1 ]]": "where bash calculates",
    "[[ 1 -lt {params.x} ]]": "where bash calculates",
    "[[ -v {key} ]]": "beside `-v`",
    "[ -v {key} ]": "beside `-v`",
    "test -v {key}": "in a `test`",
    "test {params.x} {key}": "in a `test`",
    "[ {params.x} {key} ]": "stumbles",
    "eval {key}": "`eval` would run",
    'eval "{key}"': "`eval` would run",
    '\\eval "{key}"': "`eval` would run",
    "command eval {key}": "`eval` would run",
    "builtin eval {key}": "`eval` would run",
    "time eval {key}": "`eval` would run",
    "eval <<< x {key}": "`eval` would run",
    'eval "$(printf %s {key})"': "`eval` would run",
    "trap {key} EXIT": "`trap` would run",
    'trap "rm {key}" EXIT': "`trap` would run",
    "alias a={key}": "`alias` would run",
    "bash -c {key}": "in the code of another shell",
    'bash -c "echo {key}"': "in the code of another shell",
    'sh -ec "echo {key}"': "in the code of another shell",
    '"$SHELL" -c "echo {key}"': "in the code of another shell",
    'env -i /bin/bash -c "echo {key}"': "in the code of another shell",
    'find . -exec sh -c "echo {key}" \\;': "in the code of another shell",
    "bash {params.x}": "where the name of a program stands",
    "bash {params.l}": "where the name of a program stands",
    "bash <<EOF\necho {key}\nEOF": "`bash` would run",
    "bash -s <<EOF\necho {key}\nEOF": "`bash` would run",
    "cat <<EOF | bash\necho {key}\nEOF": "`bash` would run",
    'bash <<< "echo {key}"': "`bash` would run",
    'echo "rm {key}" | bash': "`bash` would run",
    'echo "rm {key}" | sort | sh -x': "`sh` would run",
    "ssh host rm {key}": "hand to another shell",
    "ssh {params.x} uptime": "hand to another shell",
    'sudo ssh host "rm {key}"': "hand to another shell",
    "ssh host <<EOF\n{key}\nEOF": "`ssh` would run",
    "{key} a": "where the name of a program stands",
    "{params.x}": "where the name of a program stands",
    "x{params.x} a": "where the name of a program stands",
    "exec {params.x}": "where the name of a program stands",
    "command {params.x}": "where the name of a program stands",
    "source {params.x}": "where the name of a program stands",
    ". {key}": "where the name of a program stands",
    "{params.x}=1": "",
    "true\n\\eval {params.x}": "stumbles",
    "a[0]=x [ {params.l} ]": "in a `test`",
    "v={key}; let v": "which bash calculates",
    "v={key}; let w=v+1": "which bash calculates",
    "v={key}; declare -i w=$v": "which bash calculates",
    "v={key}; unset a[$v]": "which bash calculates",
    'v={key}; test -v "a[$v]"': "which bash calculates",
    "xargs {params.l} < f": "where the name of a program stands",
    "exec -a a {params.l}": "where the name of a program stands",
    "xargs -n 1 {params.l}": "where the name of a program stands",
    "$x {params.x}": "where the name of a program stands",
    '"$@" {params.x}': "where the name of a program stands",
    "env $(true) {params.l}": "where the name of a program stands",
    "sh -c $(true) {params.l}": "in the code of another shell",
    "printf $x {params.x}": "as the format of `printf`",
    "a[0]={params.x}; v=a; echo ${b[v]}": "which bash calculates",
    "a=({params.x}); w=$a; v=w; declare -i i=$v": "which bash calculates",
    "env {params.l}": "where the name of a program stands",
    "env A=b {params.x}": "where the name of a program stands",
    "{params.x}() { :; }": "",
    "function {params.x} { :; }": "as the name of a function",
    "for {params.x} in a; do :; done": "",
    "read {params.x}": "for the name of a variable",
    "read -r a {params.x} < /dev/null": "for the name of a variable",
    "mapfile {params.x}": "for the name of a variable",
    "unset {params.x}": "as the name of a variable",
    "printf -v {params.x} a": "as the format of `printf`",
    "printf {params.x} a": "as the format of `printf`",
    'export "A={key}"': "that `export` takes apart",
    "declare {params.x}": "",
    "PS4={key}": "as the value of `PS4`",
    "BASH_ENV={key} bash x": "as the value of `BASH_ENV`",
    "RANDOM={key}": "as the value of `RANDOM`",
    "echo ${x:-{key}}": "inside `${…}`",
    'echo "${x:-{key}}"': "inside `${…}`",
    "echo ${x/{key}/b}": "inside `${…}`",
    "echo `basename {key}`": "inside backquotes",
    'echo "`basename {key}`"': "backquote",
    "cat <<EOF\n`basename {key}`\nEOF": "backquote",
    "cat <<EOF\n$(basename {key})\nEOF": "inside a command in a here-document",
    "cat <<EOF\n$(( 1 + {key} ))\nEOF": "where bash calculates",
    "cat <<EOF\n$(( {params.n} ))\nEOF": "",  # the grammar takes this for a command
    "echo \\{key}": "after a backslash",
    'echo "\\{key}"': "after a backslash",
    "echo \\\\\\{key}": "after a backslash",
    "cat <<EOF {key}\nx\nEOF": "after a redirection",
    "echo a >&{key}": "after `>&`",
    "v={params.l}": "as a list where one word stands",
    'echo "{params.l}"': "as a list where one word stands",
    "echo a{params.l}": "as a list where one word stands",
    "cat < {params.l}": "as a list where one word stands",
    "echo ${__stoker_1}{key}": "Stoker's own",
    "cat <<A <<B\n{key}\nA\n{key}\nB": "stumbles",
}


@pytest.mark.parametrize("text", REFUSED)
def test_place_is_refused(text):
    messages = mistakes_of(text)
    assert messages != []
    assert REFUSED[text] in " ".join(messages)


@pytest.mark.parametrize(
    "text",
    [
        "echo {{key}} ${key} {a,b} {1..3} ${x:-y}",
        "awk '{ print $1 }' {item} > {out.o}",
        "n=$(( $(wc -l < {item}) + 1 )); [[ $(wc -l < {item}) -eq $n ]]",
        'export "X=$(basename {key})"',
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
    "text", ["echo $(({params.n}))", "[[ {params.n} -eq 1 ]]", "declare -i v={params.n}"]
)
def test_integer_is_verified_when_it_is_used(text, tmp_path):
    """A value that was registered under other rules must not slip through."""
    with pytest.raises(UserError, match="no integer"):
        run_text(text, tmp_path, n="a[$(touch pwned)]")
    assert list(tmp_path.iterdir()) == []


def test_program_must_be_an_absolute_path_when_it_is_used():
    pipeline = pipeline_of("{in.before.one} a")
    plan = compile_step(pipeline, pipeline.step("main"))
    context = context_of(produced={})
    with pytest.raises(UserError, match="no absolute path"):
        plan.command(context)


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
    assert b"stoker: line 3: false_command" in ran.stderr


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
    assert argv[5:] == ("stoker", "v")
    assert claimed_of().params["x"] not in argv[4].split()
