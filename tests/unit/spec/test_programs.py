"""What `check` says of programs that are missing, and of files that are looked for in scratch."""

import pytest

from stoker.spec.programs import find_program_doubts
from unit.spec.test_load import load


@pytest.fixture
def doubts(tmp_path):
    (tmp_path / "script.sh").write_text("true\n")
    (tmp_path / "tool").write_text("true\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("1\n")

    def ask(text):
        pipeline = load(tmp_path, f"[pipelines.p.steps.s]\n{text}\n").pipelines["p"]
        found = find_program_doubts(pipeline, pipeline.step("s"))
        return [one.replace(str(tmp_path), "HERE") for one in found]

    return ask


BESIDE = (
    "`{0}` is beside `stoker.toml`, and the step starts in a scratch folder of its own; "
    "write `{{project}}/{1}`"
)
IN_SCRATCH = (
    "`./none.sh` is looked for in the attempt's own scratch folder, which begins empty; for a file "
    "beside `stoker.toml` write `{project}/none.sh`"
)
NO_A = "there is no program `nothere_a` on this host's PATH"
NO_B = "there is no program `nothere_b` on this host's PATH"
NONE = "there is no program `{project}/none` on this host"
RIGHTS = "`{project}/script.sh` is not executable; `chmod +x HERE/script.sh`, or name its interpreter first"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run = 'nothere_a {item} | sort | nothere_b'", [NO_B, NO_A]),
        ("run = 'x=$(nothere_a); nice -n 5 true; FOO=1 env true'", [NO_A]),
        ("run = './script.sh {item}'", [BESIDE.format("./script.sh", "script.sh")]),
        ("run = 'python3 lib/a.py \"lib/a.py\"'", [BESIDE.format("lib/a.py", "lib/a.py")]),
        ("run = './none.sh'", [IN_SCRATCH]),
        ("argv = ['./none.sh']", [IN_SCRATCH]),
        ("run = '{project}/script.sh; {project}/none'", [NONE, RIGHTS]),
        ("argv = ['nothere_a', '{item}']", [NO_A]),
        ("argv = ['{project}/none']", [NONE]),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(doubts, text, said):
    assert doubts(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "run = 'module load blast; blastx {item}'",
        "run = 'source env.sh; blastx {item}'",
        "run = 'export PATH=/opt/x/bin:$PATH; blastx'",
        "run = 'blastx'\nprepare = 'module load blast'",
        "run = 'blastx'\nenv.PATH = '/opt/bin'",
        "run = 'f() { true; }; f; [ -f x ]; ((1)); for i in 1; do echo $i; done; $cmd x; {item} y'",
        "run = 'cp {item} ./t.sh; chmod +x t.sh; ./t.sh'",
        "run = '{project}/tool; bash {project}/script.sh'",
        "argv = ['{project}/tool', '{item}']",
        "argv = ['{item}']",
        "python = 'm:f'",
    ],
)
def test_what_may_be_there_is_no_doubt(doubts, text):
    assert doubts(text) == []
