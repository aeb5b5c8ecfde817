"""`[batch.NAME]`: what is taken, and what is refused with its line."""

import pytest

from stoker.errors import SpecError
from stoker.spec.load import load_project
from unit.spec.test_load import problems

GOOD = {"system": '"slurm"', "time_limit": '"4h"'}


@pytest.fixture
def load(tmp_path):
    def read(**keys):
        lines = "\n".join(f"{key} = {value}" for key, value in keys.items() if value is not None)
        (tmp_path / "stoker.toml").write_text(f"[batch.main]\n{lines}\n")
        return load_project(tmp_path / "stoker.toml").settings.batch

    return read


def test_all_keys(load, tmp_path):
    (found,) = load(
        **GOOD, cpus="8", memory='"16G"', gpus="1", max_pilots="20",
        options='["--partition=main", "-A", "ab12", "-p", "x"]', prepare='"module load x"',
        tags='["cluster"]', via='"database"', ssh='"me@login1"',
    )  # fmt: skip
    assert (found.time_limit_s, found.memory_bytes, found.max_pilots) == (14_400.0, 16 << 30, 20)
    assert (found.tags, found.ssh) == (("cluster",), "me@login1")


def test_commands_are_relative_to_the_file(load, tmp_path):
    (found,) = load(
        time_limit='"8h"',
        commands='{ submit = ["./k.py", "submit"], status = ["kubectl"], cancel = ["../x"] }',
    )
    assert found.system == "commands"
    assert found.commands["submit"] == (f"{tmp_path}/k.py", "submit")
    assert found.commands["status"] == ("kubectl",)


def test_what_is_left_out_has_good_defaults(load):
    (found,) = load(**GOOD)
    assert (found.cpus, found.memory_bytes, found.max_pilots, found.tags) == (1, None, 10, None)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"time_limit": None}, "no `time_limit`"),
        ({"time_limit": '"4m"'}, "at least 300"),
        ({"system": None}, "neither `system` nor `commands`"),
        ({"system": '"slrum"'}, "did you mean `slurm`"),
        ({"system": '"pbs"'}, "examples/batch-commands/pbs"),
        ({"system": '"kubernetes"'}, "examples/batch-commands/kubernetes"),
        ({"commands": '{ submit = ["x"], status = ["y"], cancel = ["z"] }'}, "either"),
        ({"system": None, "commands": '{ submit = ["x"] }'}, "no `status` and `cancel`"),
        ({"system": None, "commands": '{ submit = [], status = ["y"], cancel = ["z"] }'}, "empty"),
        ({"site": '"lyon"'}, "no site `lyon`"),
        ({"via": '"web"'}, "reserved for a later release"),
        ({"via": '"file"'}, "did you mean `files`"),
        ({"ssh": '"-oProxyCommand=touch x"'}, "not a host"),
        ({"ssh": '"a b"'}, "not a host"),
        ({"max_pilots": "0"}, "at least 1"),
        ({"max_pilots": "100000"}, "at most 10,000"),
        ({"gpus": "-1"}, "at least 0"),
        ({"queue": '"x"'}, "no key `queue`"),
        ({"options": '["-t", "5"]'}, "Stoker's to set"),
        ({"options": '["-t5"]'}, "Stoker's to set"),
        ({"options": '["--time=5"]'}, "set `time_limit`"),
        ({"options": '["--job-name=x"]'}, "its name"),
        ({"options": '["-Jx"]'}, "its name"),
        ({"options": '["--arr=1-5"]'}, "its array"),
        ({"options": '["-M", "other"]'}, "set `ssh`"),
        ({"options": '["--clusters=other"]'}, "set `ssh`"),
        ({"options": '["-p main"]'}, "looks like several"),
        ({"options": '["--partition=main --account=x"]'}, "looks like several"),
        ({"options": '["-o", "x"]'}, "its output"),
        ({"options": '["--array=1-5"]'}, "its array"),
        ({"options": '["--requeue"]'}, "its requeue"),
        ({"options": '["--mem=5"]', "memory": '"5G"'}, "say the same"),
        ({"system": '"gridengine"', "cpus": "4"}, "qconf -spl"),
        ({"system": '"gridengine"', "cpus": "4", "options": '["-pe", "smp", "8"]'}, "same number"),
        ({"system": '"gridengine"', "options": '["-l", "x=1,h_rt=5"]'}, "set `time_limit`"),
        ({"system": '"gridengine"', "options": '["-t", "1-5"]'}, "its array"),
        ({"system": '"gridengine"', "options": '["-r", "y"]'}, "its requeue"),
    ],
)  # fmt: skip
def test_mistakes(load, keys, words):
    with pytest.raises(SpecError) as found:
        load(**GOOD | keys)
    assert any(words in str(one) for one in found.value.problems), found.value.problems


def test_a_wrong_option_is_found_at_its_line(tmp_path):
    text = '[batch.main]\nsystem = "slurm"\ntime_limit = "4h"\noptions = [\n"-p", "x",\n"--requeue",\n]\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("stoker.toml:6: ")
