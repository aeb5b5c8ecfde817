"""What each batch system's own words are taken to mean."""

import getpass
import json

import pytest

from stoker.batch.commands import Commands
from stoker.batch.gridengine import GridEngine
from stoker.batch.runner import Said, environment, last_words
from stoker.batch.script import script
from stoker.batch.slurm import Slurm
from stoker.batch.system import Ask, Cause, End, Phase, Refused, Submitted, Unknown
from stoker.errors import Unavailable
from stoker.model.batch import BatchSystem

ASK = Ask(
    name="stoker_lab_abc", uid="abc", script="/p/abc.sh", log="/p/abc.log", cpus=4,
    memory_bytes=3 * 2**30 + 1, gpus=0, time_limit_s=93_784,
)  # fmt: skip


class Canned:
    """A runner that repeats what it was given, and keeps what it was asked."""

    ssh = None

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def run(self, words, *, stdin=""):
        self.asked.append((list(words), stdin))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(out="", error="", status=0):
    return Said(status, out, error)


# ------------------------------------------------------------------------------------------- slurm


def test_the_records_of_slurm():
    record = (
        "7|FAILED|1:0|n2\n8|CANCELLED by 0|0:0|None assigned\n9|RUNNING|0:0|n1\n10|TIMEOUT|0:0\n"
    )
    found = Slurm(Canned(said(record))).ended(["7", "8", "9", "10"])
    assert found == {
        "7": End(Cause.ERROR, "failed (1:0)", "n2"),
        "8": End(Cause.CANCELLED, "cancelled by 0 (0:0)"),
        "10": End(Cause.TIME, "timeout (0:0)"),
    }


def test_slurm_is_asked_in_words_that_are_sure():
    words = Slurm(Canned(said("1\n"))).words(ASK)
    assert "--time=1-02:03:04" in words
    assert "--mem=3073M" in words
    assert "--cpus-per-task=4" in words
    assert {"--no-requeue", "--export=NONE", "--parsable"} <= set(words)
    assert words[-1] == "/p/abc.sh"


def test_slurm_excludes_the_users_hosts_and_the_bad_ones_at_once():
    from dataclasses import replace

    ask = replace(ASK, options=("-x", "a", "--exclude=b,c", "-p", "main"), exclude=("bad",))
    words = Slurm(Canned(said())).words(ask)
    assert [word for word in words if "exclude" in word or word == "-x"] == ["--exclude=a,b,c,bad"]


@pytest.mark.parametrize(
    ("answer", "is_what"),
    [
        (said("123\n"), Submitted("123")),
        (said("sbatch: hello\n123;rig\n"), Submitted("123")),
        (said("123\n", "sbatch: error: something", 1), Submitted("123")),
        (said("", "sbatch: error: Batch job submission failed: Socket timed out on send/recv", 1), Unknown),
        (said("", "sbatch: error: Unable to contact slurm controller", 1), Unknown),
        (said("", ""), Unknown),
        (Unavailable("`sbatch` did not answer within 60 s"), Unknown),
        (said("", "sbatch: error: invalid partition specified: x", 1), Refused),
    ],
)  # fmt: skip
def test_what_sbatch_says(answer, is_what):
    found = Slurm(Canned(answer)).submit(ASK)
    assert found == is_what if isinstance(is_what, Submitted) else isinstance(found, is_what)


@pytest.mark.parametrize(
    ("words", "is_limit"),
    [
        ("QOSMaxSubmitJobPerUserLimit", True),
        ("AssocMaxSubmitJobLimit", True),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", True),
        ("QOSMaxWallDurationPerJobLimit\nJob violates accounting/QOS policy (job submit limit, …)", False),
        ("Invalid account or account/partition combination specified", False),
    ],
)  # fmt: skip
def test_which_refusals_of_slurm_are_limits(words, is_limit):
    found = Slurm(Canned(said("", f"sbatch: error: {words}", 1))).submit(ASK)
    assert isinstance(found, Refused)
    assert found.is_limit is is_limit


def line(*fields):
    return "\x1f".join(fields)


def test_a_list_of_slurm_is_read_line_by_line():
    text = "\n".join(
        [
            line("1", "RUNNING", "None", "a", "n1"),
            line("2", "PENDING", "Resources", "b", ""),
            line("3", "WEIRD", "x", "c", ""),
            "not a job at all",
            line("4", "TIMEOUT", "TimeLimit", "d", "n2"),
            line("5", "PENDING", "PartitionConfig", "e", ""),
        ]
    )
    found = Slurm(Canned(said(text))).look(["a", "b", "c", "d", "e"])
    assert {name: (one.phase, one.said) for name, (one,) in found.items()} == {
        "a": (Phase.RUNNING, "running"),
        "b": (Phase.WAITING, "Resources"),
        "c": (Phase.RUNNING, "`WEIRD`"),
        "d": (Phase.OVER, "timeout"),
        "e": (Phase.WAITING, "PartitionConfig"),
    }
    assert found["a"][0].host == "n1"
    assert found["d"][0].cause is Cause.TIME
    assert found["e"][0].is_stuck


def test_what_a_login_shell_says_around_a_list_hides_nothing():
    noise = said("Welcome\n" + line("1", "RUNNING", "None", "a", "n1"), "bash: no terminal\n")
    assert set(Slurm(Canned(noise)).look(["a"])) == {"a"}
    assert set(GridEngine(Canned(said(f"Welcome\n{QSTAT}"))).look(["a"])) == {"a"}


@pytest.mark.parametrize(
    "answer",
    [
        said("", "slurm_load_jobs error", 1),
        said("", "slurm_load: warning"),
        said("", "squeue: warning"),
        said("", "Error: no controller"),
    ],
)
def test_a_list_with_an_error_is_none(answer):
    with pytest.raises(Unavailable):
        Slurm(Canned(answer)).look(["a"])


def test_many_names_are_asked_for_in_pieces():
    runner = Canned(said(""))
    Slurm(runner).look([f"n{at}" for at in range(450)])
    assert len(runner.asked) == 3


# -------------------------------------------------------------------------------------- grid engine

QSTAT = """<?xml version='1.0'?>
<job_info xmlns:xsd="http://x"><queue_info>
<job_list state="running"><JB_job_number>7</JB_job_number><JB_name>a</JB_name><state>r</state>
<queue_name>main.q@node7</queue_name></job_list>
<job_list state="running"><JB_job_number>8</JB_job_number><JB_name>b</JB_name><state>Rr</state>
<queue_name>main.q@node8</queue_name></job_list></queue_info><job_info>
<job_list state="pending"><JB_job_number>9</JB_job_number><JB_name>c</JB_name><state>qw</state></job_list>
<job_list state="pending"><JB_job_number>10</JB_job_number><JB_name>d</JB_name><state>Eqw</state></job_list>
<job_list state="pending"><JB_job_number>11</JB_job_number><JB_name>e</JB_name><state>Rq</state></job_list>
<job_list state="pending"><JB_job_number>12</JB_job_number><JB_name>f</JB_name><state>Zhqw</state></job_list>
<job_list><JB_name>no number</JB_name></job_list>
</job_info></job_info>"""


def test_the_states_of_grid_engine_are_sets_of_letters():
    found = GridEngine(Canned(said(QSTAT))).look(list("abcdef"))
    assert {name: one.phase for name, (one,) in found.items()} == {
        "a": Phase.RUNNING, "b": Phase.RUNNING, "c": Phase.WAITING, "d": Phase.WAITING,
        "e": Phase.WAITING, "f": Phase.WAITING,
    }  # fmt: skip
    assert found["a"][0].host == "node7"
    assert [name for name, (one,) in found.items() if one.is_stuck] == ["d"]


def test_grid_engine_is_asked_for_jobs_of_others_only_if_one_is_not_among_the_own():
    others = QSTAT.replace("<JB_name>a<", "<JB_name>of-ada<")
    runner = Canned(said(QSTAT), said(others))
    assert set(GridEngine(runner).look(["a", "b"])) == {"a", "b"}
    assert len(runner.asked) == 1
    runner = Canned(said(QSTAT), said(others))
    assert set(GridEngine(runner).look(["b", "of-ada"])) == {"b", "of-ada"}
    assert [words[2] for words, _ in runner.asked] == [getpass.getuser(), "*"]


@pytest.mark.parametrize("answer", [said("<broken", ""), said("", "error: commlib error", 1)])
def test_a_list_of_grid_engine_that_is_none(answer):
    with pytest.raises(Unavailable):
        GridEngine(Canned(answer)).look(["a"])


def test_grid_engine_gets_memory_for_each_slot_unless_the_options_say():
    from dataclasses import replace

    engine = GridEngine(Canned(said("5\n")))
    assert "h_rt=93784,h_vmem=769M" in engine.words(ASK)
    assert "h_rt=93784" in engine.words(replace(ASK, options=("-l", "mem_free=3G")))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (said("Your job says hello\n55\n"), Submitted),
        (said("", "Unable to run job: error: commlib error: got select error", 1), Unknown),
        (said("", 'Unable to run job: unknown resource "x".\nExiting.', 1), Refused),
    ],
)  # fmt: skip
def test_what_qsub_says(answer, kind):
    assert isinstance(GridEngine(Canned(answer)).submit(ASK), kind)


@pytest.mark.parametrize(
    ("failed", "status", "cause"),
    [
        ("0", "0", Cause.EXIT),
        ("0", "5", Cause.ERROR),
        ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "137", Cause.TIME),
        ("100 : assumedly after job", "137", None),
        ("26  : opening input/output file", "0", Cause.ERROR),
    ],
)
def test_the_records_of_grid_engine(failed, status, cause):
    record = f"==\nqname main.q\nhostname n3\nfailed       {failed}\nexit_status  {status}\n"
    end = GridEngine(Canned(said(record))).ended(["7"])["7"]
    assert (end.cause, end.host) == (cause, "n3")


# ----------------------------------------------------------------------------------------- commands

COMMANDS = {"submit": ("./k", "submit"), "status": ("./k", "status"), "cancel": ("./k", "cancel")}


def commands(*answers):
    runner = Canned(*(said(json.dumps(one)) if isinstance(one, dict) else one for one in answers))
    return Commands("k8s", COMMANDS, runner), runner


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"id": "pod-1"}, Submitted),
        ({"id": 17}, Submitted),
        ({"refused": "quota"}, Refused),
        ({"id": ""}, Unknown),
        ({"id": True}, Unknown),
        ({"id": "x" * 500}, Unknown),
        ({}, Unknown),
        (said("[1]"), Unknown),
        (said("[" * 100_000), Unknown),
        (said("nonsense"), Unknown),
        (said('{"id": "1"}', "", 1), Unknown),
    ],
)
def test_what_a_submit_command_may_answer(answer, kind):
    system, _ = commands(answer)
    assert isinstance(system.submit(ASK), kind)


def test_a_submit_command_is_told_all_of_it():
    system, runner = commands({"id": "1"})
    system.submit(ASK)
    ((words, stdin),) = runner.asked
    assert words == ["./k", "submit"]
    asked = json.loads(stdin)
    assert (asked["v"], asked["name"], asked["cpus"]) == (1, "stoker_lab_abc", 4)
    assert (asked["script"], asked["time_limit_s"]) == ("/p/abc.sh", 93_784)


def test_a_status_command_that_names_jobs_oddly_names_none():
    system, _ = commands(
        {
            "jobs": [
                {"name": "a", "id": "1", "state": "running", "host": "n"},
                {"name": "b", "id": "2", "state": "over", "cause": "time", "reason": "gone"},
                {"name": "c", "id": "3", "state": "wonderful"},
                {"name": 5, "id": "4", "state": "running"},
                "words",
                None,
            ]
        }
    )
    found = system.look(["a", "b", "c"])
    assert set(found) == {"a", "b"}
    assert (found["b"][0].cause, found["b"][0].said) == (Cause.TIME, "gone")


@pytest.mark.parametrize("answer", [{}, {"jobs": 5}, said("x"), said("{}", "no", 3)])
def test_a_status_command_without_a_list_has_not_answered(answer):
    system, _ = commands(answer)
    with pytest.raises(Unavailable):
        system.look(["a"])


# ------------------------------------------------------------------------------- around the commands


def test_no_variable_of_a_job_reaches_a_submission():
    given = {
        "SLURM_JOB_ID": "1", "SBATCH_PARTITION": "x", "SLURM_CONF": "/c", "PBS_JOBID": "2",
        "SGE_ROOT": "/s", "SGE_TASK_ID": "3", "JOB_ID": "4", "HOME": "/h", "LC_TIME": "de_AT",
        "LANGUAGE": "de", "PMI_RANK": "0", "LSB_JOBID": "1", "PMIX_X": "2",
    }  # fmt: skip
    assert environment(given) == {
        "SLURM_CONF": "/c", "SGE_ROOT": "/s", "HOME": "/h", "LC_ALL": "C",
        "SLURM_TIME_FORMAT": "standard",
    }  # fmt: skip


def test_last_words_are_the_last_lines_as_far_as_there_is_room():
    assert last_words("one\n\n two   words \nthree\n") == "one; two words; three"
    assert last_words("x" * 400 + "\nlast") == "last"
    assert last_words("") == ""


def test_a_script_holds_names_of_any_kind():
    own = BatchSystem(name="main", system="slurm", time_limit_s=1.0, prepare="module load x\n")
    folder = "/p/it's $(touch /tmp/x)"
    text = script(ASK, own, ["sbatch", "a\nb"], ["/bin/echo", "--id", "abc"], folder)
    assert "cd '/p/it'\"'\"'s $(touch /tmp/x)' || exit 96\n" in text
    assert "\nmodule load x\n" in text
    assert text.endswith("exec /bin/echo --id abc\n")
    assert "\nb" not in text.replace("\\nb", "")
