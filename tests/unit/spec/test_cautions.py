import dataclasses

import pytest

from stoker.model.pipeline import Argv, ItemKind, Param, ParamType
from stoker.spec.cautions import find_cautions
from unit.spec.shell_cases import mistakes_of, pipeline_of

CODE = "as code"
NAME = "names a variable"
OPTION = "may begin with `-`"
FED = "is part of the text that"

WARNED = {
    "eval {key}": CODE,
    'eval "run {key}"': CODE,
    'x={key}; eval "run $x"': CODE,
    "\\eval {key}": CODE,
    "command eval {key}": CODE,
    'trap "rm {key}" EXIT': CODE,
    'x={key}; trap "rm $x" EXIT': CODE,
    "alias a={key}": CODE,
    "source {key}": "names a file",
    ". {params.x}": "names a file",
    'bash -c "run {key}"': CODE,
    'x={key}; sh -ec "run $x"': CODE,
    '"$SHELL" -c "run {key}"': CODE,
    'timeout 5 env -i /bin/bash -c "run {key}"': CODE,
    'find . -exec sh -c "run {key}" \\;': CODE,
    "ssh host rm {item}": CODE,
    'ssh -p 22 host "rm {item}"': CODE,
    'x={item}; sudo ssh host "rm $x"': CODE,
    'su -c "run {item}" lab': CODE,
    'awk "/{key}/" f': CODE,
    'x={key}; awk -F , "/$x/" f': CODE,
    'sed "s/a/{key}/" f': CODE,
    'sed -n -e "s/a/{key}/p" f': CODE,
    'jq ".{key}" f': CODE,
    'perl -ne "print if /{key}/" f': CODE,
    'ruby -e "puts 1 if /{key}/"': CODE,
    "python3 -c \"print('{key}')\"": CODE,
    "Rscript -e \"plot('{key}')\"": CODE,
    "matlab -batch \"run('{key}')\"": CODE,
    'sqlite3 -cmd "select {params.x}"': CODE,
    'mysql -e "select {params.x}"': CODE,
    "bash <<EOF\nrun {item}\nEOF": FED,
    "bash -s <<EOF\nrun {item}\nEOF": FED,
    "cat <<EOF | sort | bash\nrun {item}\nEOF": FED,
    'bash <<< "run {item}"': FED,
    'echo "run {item}" | sort | sh -x': FED,
    "ssh host <<EOF\n{item}\nEOF": FED,
    "python3 - <<EOF\nprint({item})\nEOF": FED,
    "echo {item} | xargs rm": FED,
    "read {params.x}": NAME,
    'x={key}; read -r "$x"': NAME,
    'x={key}; declare "$x=1"': NAME,
    'declare "{key}=1"': NAME,
    'f() { local "$1=2"; }; f {item}': NAME,
    "mapfile -t {key}": NAME,
    "unset {key}": NAME,
    'unset "a[{key}]"': NAME,
    "getopts ab {item}": NAME,
    "printf -v {key} a": NAME,
    "test -v {key}": NAME,
    "[ -v {key} ]": NAME,
    "[[ -v {key} ]]": NAME,
    "x={key}; echo ${!x}": "takes the name of a variable",
    "{params.x} a": "names the command",
    "exec {params.l}": "names the command",
    "nice -n 5 bin-{params.x}": "names the command",
    "tar cf o.tar {params.x}": OPTION,
    "rm -rf {key}": OPTION,
    'rm "{name}"': OPTION,
    "tool {params.l}": OPTION,
    "tool {params.l:,}": OPTION,
    "tool {meta.x}": OPTION,
    "tool {in.before.values.n}": OPTION,
    "x=$(basename {key})": OPTION,
    "printf {key}": OPTION,
    "ssh {params.x} uptime": OPTION,
}

UNWARNED = [
    'eval "$(conda shell.bash hook)"; cat {item}',
    "trap 'rm \"$x\"' EXIT; x={key}",
    'source "$HOME/functions.sh"; cat {item}',
    "bash -c 'tool \"$1\"' bash {key}",
    "python3 -c 'import sys' {key}",
    "python3 script.py --in {item}",
    "ssh host 'cat > x' < {item}",
    "printf '%s\\0' {key} | xargs -0 -n 1 rm --",
    "awk -v k={key} '{ print k, $1 }' {item}",
    "sed -n 1p {item}",
    "cat <<EOF | sort\n{key}\nEOF",
    "read -r a <<< {key}; read -p {item} b",
    'f() { local n=$1; echo "$n"; }; f {key}',
    "declare n={key}; export V={key}; export W",
    'for a in {params.l}; do echo "$a"; done; case {key} in {params.x}) ;; esac',
    'echo {key} "${!a[@]}" "${!pre*}"',
    "printf '%s' {key}; [ {key} = a ]; test {key} = b; exit {params.n}",
    "tar cf o.tar -- {params.x}; tool ./{key} {item} {out.o} {in.before.one} {cpus} {slot.gpu}",
    "tool --omit {params.l:,} {params.n} {params.f} --",
    "{in.before.one} --in {item}",
    "env A={key} B={params.x} tool",
]  # fmt: skip


def cautions_of(text, *params, action=None):
    pipeline = pipeline_of(text)
    step = pipeline.step("main")
    if action is not None:
        step = dataclasses.replace(step, action=action)
    named = {param.name: param for param in (*pipeline.params, *params)}
    pipeline = dataclasses.replace(pipeline, params=tuple(named.values()))
    return find_cautions(pipeline, step)


@pytest.mark.parametrize("text", WARNED)
def test_value_is_warned_of(text):
    assert mistakes_of(text) == []
    messages = [caution.message for caution in cautions_of(text)]
    assert any(WARNED[text] in message for message in messages), messages


@pytest.mark.parametrize("text", UNWARNED)
def test_value_is_not_warned_of(text):
    assert mistakes_of(text) == []
    assert cautions_of(text) == []


def test_a_warning_names_line_value_and_remedy_once():
    (caution,) = cautions_of("true\nrm {key}\nrm {key}")
    assert str(caution) == (
        "line 2 of `run`: `{key}` may begin with `-`, which `rm` takes for an option; "
        "write `--` before it"
    )


@pytest.mark.parametrize(("key", "is_warned"), [("A{number}", False), ("-{number}", True)])
def test_the_key_of_a_volume_begins_as_its_template_does(key, is_warned):
    pipeline = dataclasses.replace(pipeline_of("rm {key}"), items=ItemKind.GROUPS, key=key)
    assert bool(find_cautions(pipeline, pipeline.step("main"))) is is_warned


@pytest.mark.parametrize(
    ("param", "is_warned"),
    [
        (Param(name="y"), True),
        (Param(name="y", pattern="Pen.*"), False),
        (Param(name="y", pattern="[A-Z0-9_]+"), False),
        (Param(name="y", pattern=r"\d{4}"), False),
        (Param(name="y", pattern="[a-z-]+"), True),
        (Param(name="y", pattern="a*.*"), True),
        (Param(name="y", pattern="a{0,3}.*"), True),
        (Param(name="y", pattern="a|-.*"), True),
        (Param(name="y", pattern=".*"), True),
        (Param(name="y", type=ParamType.CHOICE, choices=("a", "b")), False),
        (Param(name="y", type=ParamType.CHOICE, choices=("a", "-b")), True),
        (Param(name="y", type=ParamType.INTEGER), False),
        (Param(name="y", type=ParamType.BOOLEAN), False),
        (Param(name="y", type=ParamType.PATH), False),
        (Param(name="y", type=ParamType.LIST), True),
        (Param(name="y", type=ParamType.LIST, items=ParamType.INTEGER), False),
    ],
)
def test_what_a_parameter_allows_decides_about_options(param, is_warned):
    separator = ":," if param.type is ParamType.LIST else ""
    assert bool(cautions_of(f"tool {{params.y{separator}}}", param)) is is_warned


@pytest.mark.parametrize(
    ("text", "is_warned"),
    [
        ("tool raw/{params.y}", True),
        ("tool --in=/raw/{params.y}", True),
        ("tool '/raw'/{params.y}", True),
        ("tool {project}/{item}", True),
        ("tool {params.y}", False),
        ("tool --in={params.y}", False),
        ("tool {params.y}/more", False),
    ],
)
def test_a_folder_before_an_absolute_path_is_a_mistake(text, is_warned):
    found = cautions_of(text, Param(name="y", type=ParamType.PATH))
    assert (
        any("is an absolute path; leave out the folder" in str(one) for one in found) is is_warned
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tool", "{key}"), OPTION),
        (("tool", ("-x", "{params.x}")), OPTION),
        (("bash", "-c", "run {key}"), CODE),
        (("env", "python3", "-c", "print('{key}')"), CODE),
        (("{params.x}", "a"), "names the command"),
        (("tool", "--", "{key}"), None),
        (("tool", "--in={key}", "--omit", "{params.x}"), None),
        (("bash", "-c", 'run "$1"', "bash", "{key}"), None),
        (("awk", "{ print $1 }", "{item}"), None),
    ],
)
def test_words_of_argv_are_judged_alike(words, message):
    found = [str(caution) for caution in cautions_of("", action=Argv(words=words))]
    assert (message in found[0]) if message else found == []


# Each program with an option after which it takes a word for code.
TAKES_CODE = (
    "sh -c", "bash -lc", "dash -c", "ksh -c", "zsh -c", "perl -ne", "perl -E", "ruby -e", "python -c",
    "python2 -c", "python3 -Sc", "R -e", "Rscript -e", "gnuplot -e", "julia -E", "lua -e",
    "matlab -batch", "matlab -r", "node -p", "node --eval", "node --print", "octave --eval", "php -r",
    "mariadb -e", "mysql --execute", "psql -c", "psql --command", "sqlite3 -cmd", "sed -ne",
    "sed --expression", "awk", "gawk", "mawk", "nawk", "awk -F :", "sed", "jq",
)  # fmt: skip


@pytest.mark.parametrize("command", TAKES_CODE)
def test_every_program_that_takes_code_is_known(command):
    for program in (command, f"/usr/bin/{command}"):
        messages = [caution.message for caution in cautions_of(f'{program} "x {{key}}"')]
        assert any(CODE in message for message in messages), (program, messages)
