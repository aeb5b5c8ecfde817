"""What becomes of pilots, whatever a batch system does, says or hides: by a Slurm that is faked."""

import os
import shutil
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from batch.fake.slurm import FakeSlurm
from stoker import failpoints
from stoker.batch.runner import Runner
from stoker.batch.slurm import Slurm
from stoker.batch.visit import Home, Visitor
from stoker.model.batch import BatchSystem, Manners
from stoker.model.states import PilotState
from stoker.model.worker import NewWorker
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.claims import workers
from stoker.store.database.connect import open_store
from stoker.store.pilots import entries, starts, submissions
from stoker.store.pilots.listed import batch_status, pilot_rows

SECOND_US = 1_000_000
MANNERS = Manners(missed_s=60, arrive_s=600, stuck_s=600, surplus_s=60)


class Desk:
    """A store, a batch system of which all is faked but our own side, and the clock of its rows."""

    def __init__(self, folder, store, fake, *, manners=MANNERS, **settings):
        self.folder, self.store, self.fake, self.manners = folder, store, fake, manners
        self.settings = BatchSystem(
            **{"name": "main", "system": "slurm", "time_limit_s": 3600.0, "max_pilots": 5}
            | settings
        )
        self.take_over()

    def take_over(self, **changes):
        self.settings = replace(self.settings, **changes)
        entries.set_entries(self.store, [self.settings], file=str(self.folder / "stoker.toml"))
        self.visitor = Visitor(
            self.store,
            self.settings,
            Slurm(Runner(limit_s=2.0)),
            Home(project="lab", folder=str(self.folder), start=("stoker", "pilot")),
            self.manners,
        )

    def visit(self, want=0, **more):
        return self.visitor.visit(want, **more)

    def rows(self):
        return pilot_rows(self.store, "main", everything=True)

    def states(self):
        return [row.state for row in self.rows()]

    def reasons(self):
        return [row.reason for row in self.rows()]

    @property
    def status(self):
        with self.store.reading() as unit:
            return batch_status(unit)["main"]

    @property
    def entry(self):
        with self.store.reading() as unit:
            (found,) = entries.entries(unit, everything=True)
        return found

    def pass_time(self, seconds):
        """All that the store has noted of pilots was noted so long before."""
        for table in (tables.pilot, tables.batch):
            columns = [one for one in table.c if one.name.endswith("_us")]
            with self.store.writing() as unit:
                unit.execute(
                    update(table).values({one: one - round(seconds * SECOND_US) for one in columns})
                )

    def start(self, at=-1):
        """The pilot's worker lives."""
        row = self.rows()[at]
        found = starts.start(
            self.store, row.id, host="node", batch_id=row.batch_id or "fake:101.0", began_s_ago=0.0,
            found={},
        )  # fmt: skip
        if found is None:
            return None
        new = NewWorker(
            host="node", name=row.id, pid=1, slots=1, cpus=1, memory_bytes=1, scratch="/x",
            boot_id="b", lease_s=20.0, pilot=row.id,
        )  # fmt: skip
        return workers.enlist(self.store, new)

    def kill(self, worker):
        """The worker's lease is over."""
        with self.store.writing() as unit:
            unit.execute(
                update(tables.worker)
                .where(tables.worker.c.id == worker)
                .values(lease_until_us=unit.now_us - 1)
            )

    def age_worker(self, worker, seconds):
        with self.store.writing() as unit:
            unit.execute(
                update(tables.worker)
                .where(tables.worker.c.id == worker)
                .values(started_us=unit.now_us - round(seconds * SECOND_US))
            )

    def log(self, text, at=-1):
        """The pilot has written this."""
        with self.store.reading() as unit:
            logs = (
                unit.execute(select(tables.pilot.c.log).order_by(tables.pilot.c.id)).scalars().all()
            )
        with open(bytes(logs[at]), "a") as file:
            file.write(text)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    found = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{found.programs}:{os.environ['PATH']}")
    return found


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store that can be copied, which is far quicker than to make one."""
    file = tmp_path_factory.mktemp("store") / "stoker.db"
    open_store(f"sqlite:///{file}", site_name="here").close()
    return file


@pytest.fixture
def desk(tmp_path, fake, empty_store):
    shutil.copyfile(empty_store, tmp_path / "stoker.db")
    store = open_store(f"sqlite:///{tmp_path}/stoker.db", site_name="here")
    yield lambda **more: Desk(tmp_path, store, fake, **more)
    store.close()


@pytest.fixture
def main(desk):
    return desk()


# ------------------------------------------------------------------------------------ submission, R3


def test_a_pilot_is_submitted_waits_runs_and_ends(main, fake):
    assert main.visit(1).submitted == 1
    assert main.states() == ["waiting"]
    (row,) = main.rows()
    assert row.batch_id == "fake:101.0"
    (job,) = fake.jobs
    assert job["name"] == f"stoker_lab_{row.id}"
    fake.set("101", state="RUNNING", reason="None", node="n7")
    main.visit(1)
    assert (main.states(), main.rows()[0].host) == (["running"], "n7")
    main.start()
    starts.end(main.store, row.id, done=3, was_stopped=False, reason="no work was left for it")
    fake.set("101", state="COMPLETED")
    main.visit(0)
    assert [(one.state, one.done, one.reason) for one in main.rows()] == [
        ("ended", 3, "no work was left for it")
    ]


@pytest.mark.parametrize("point", ["pilot.intended", "pilot.submitted", "pilot.before_submitted"])
def test_a_visit_that_dies_anywhere_leads_to_one_job_found_by_its_name(
    main, fake, point, monkeypatch
):
    with monkeypatch.context() as armed:
        armed.setattr(failpoints, "_armed", {point: ("raise", 1)})
        armed.setattr(failpoints, "_hits", {})
        with pytest.raises(OSError, match=point):
            main.visit(1)
    main.visit(1)
    main.pass_time(61)
    main.visit(1)
    if point == "pilot.intended":  # nothing was submitted, and nothing is until that is sure
        assert (main.states(), fake.calls("sbatch")) == (["waiting"], 0)
        main.pass_time(600)
        main.visit(1)
        main.pass_time(61)
        main.visit(1)
        assert (main.states(), main.reasons()[0]) == (["refused", "waiting"], "it never arrived")
        return
    assert fake.calls("sbatch") == 1
    assert [(row.state, row.batch_id) for row in main.rows()] == [("waiting", "fake:101.0")]


@pytest.mark.parametrize(
    "point",
    ["before_intended", "before_started", "before_ended", "before_concluded"],
)
def test_what_dies_before_it_is_recorded_is_done_again(main, fake, point, monkeypatch):
    name = f"pilot.{point}"
    monkeypatch.setattr(failpoints, "_armed", {name: ("raise", 1)})
    monkeypatch.setattr(failpoints, "_hits", {})
    died = []

    def insist(act):
        try:
            act()
        except OSError as error:
            died.append(str(error))
            act()

    insist(lambda: main.visit(1))
    (row,) = main.rows()
    fake.set("101", state="RUNNING", reason="None", node="n7")
    main.visit(1)
    if point == "before_concluded":  # by the scheduler alone: no worker came
        fake.forget("101")
        for _ in range(3):
            main.pass_time(61)
            insist(lambda: main.visit(0))
        assert main.states() == ["failed"]
        assert len(died) == 1, failpoints._hits
        return
    insist(main.start)
    insist(lambda: starts.end(main.store, row.id, done=3, was_stopped=False, reason="no work"))
    fake.set("101", state="COMPLETED")
    insist(lambda: main.visit(0))
    for _ in range(3):
        main.pass_time(61)
        insist(lambda: main.visit(0))
    assert [(one.state, one.done) for one in main.rows()] == [("ended", 3)]
    assert fake.calls("sbatch") == 1
    assert len(died) == 1, failpoints._hits
    assert name in died[0]


@pytest.mark.parametrize("is_there", [True, False], ids=["accepted", "not-accepted"])
def test_a_submission_without_an_answer_is_not_repeated(main, fake, is_there):
    fake.say("sbatch", {"does": is_there, "sleep_s": 3})
    main.visit(1)
    assert "sbatch" in main.status.trouble
    main.visit(1)
    if is_there:
        assert [row.batch_id for row in main.rows()] == ["fake:101.0"]
    for _ in range(3):
        main.pass_time(61)
        main.visit(1)
    assert fake.calls("sbatch") == 1
    assert main.states() == ["waiting"]
    main.pass_time(600)
    main.visit(1)
    assert main.states()[0] == ("waiting" if is_there else "refused")
    assert fake.calls("sbatch") == (1 if is_there else 2), "another only once that is sure"


def test_a_refusal_that_is_none_is_found_out(main, fake):
    fake.say("sbatch", {"does": True, "out": "", "status": 1, "error": "sbatch: error: oops"})
    main.visit(1)
    assert [(row.state, row.batch_id) for row in main.rows()] == [("waiting", "fake:101.0")]
    assert main.entry.refused == 0


def test_words_around_an_id_hide_nothing(main, fake):
    fake.say("sbatch", {"out": "sbatch: hello\n4711;fake\n", "status": 0})
    main.visit(1)
    assert [row.batch_id for row in main.rows()] == ["fake:4711.0"]


def test_ten_refusals_hold_the_batch_system_with_the_last_words(main, fake):
    answer = {
        "status": 1,
        "error": "sbatch: error: invalid partition specified: wrong",
        "always": True,
    }
    fake.say("sbatch", answer)
    main.visit(2)
    assert main.states() == ["refused"], "one is tried, and nothing behind it"
    assert "invalid partition" in main.reasons()[0]
    for _ in range(12):
        main.pass_time(3601)
        main.visit(2)
    assert fake.calls("sbatch") == 10
    assert main.status.held
    assert "invalid partition" in main.status.reason
    main.take_over(options=("--partition=right",))
    assert not main.status.held
    fake.say("sbatch", {"does": True})
    assert main.visit(2).submitted == 2


def test_without_room_for_the_script_nothing_is_intended(main, fake, monkeypatch):
    monkeypatch.setattr(failpoints, "_armed", {"pilot.before_script": ("raise", 1)})
    monkeypatch.setattr(failpoints, "_hits", {})
    done = main.visit(3)
    assert (done.submitted, main.states(), fake.jobs) == (0, [], [])
    assert "no script can be written to" in done.trouble
    assert main.status.trouble == done.trouble
    assert main.visit(3).submitted == 2


def test_a_limit_of_the_cluster_is_no_failure(main, fake):
    main.visit(2)
    fake.set("101", state="RUNNING")
    fake.set("102", state="RUNNING")
    main.start(0)
    main.start(1)
    words = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed"
    fake.say("sbatch", {"status": 1, "error": words, "always": True})
    main.visit(5)
    assert main.states() == ["running", "running", "cancelled"]
    assert (main.entry.refused, main.status.ceiling, main.status.held) == (0, 2, False)
    calls = fake.calls("sbatch")
    main.visit(5)
    assert fake.calls("sbatch") == calls, "not asked again at once"
    fake.say("sbatch", {"does": True})
    main.pass_time(301)
    main.visit(5)
    assert main.states()[3:] == ["waiting"]


# ------------------------------------------------------------------------------------- maintenance


def behind(main, fake, begins_in_s, want=3):
    """Two pilots wait behind a maintenance, and a visit was made after that was seen."""
    main.visit(want)
    for job in ("101", "102"):
        fake.set(job, reason="ReqNodeNotAvail, Reserved for maintenance")
    at_s = int(time.time() + begins_in_s)
    fake.reserve(
        f"ReservationName=daily StartTime={at_s - 500} Flags=DAILY State=ACTIVE",
        f"ReservationName=over StartTime={at_s - 9000} Flags=MAINT,SPEC_NODES",
        f"ReservationName=mt StartTime={at_s} Flags=MAINT,SPEC_NODES,ALL_NODES State=INACTIVE",
    )


def times_of(fake):
    return [next(word for word in job["words"] if word.startswith("--time=")) for job in fake.jobs]


def test_before_a_maintenance_shorter_pilots_come(main, fake):
    behind(main, fake, 1260)
    main.visit(3, shortest_s=300.0)
    assert main.states() == ["waiting"] * 4
    *long, one, two = times_of(fake)
    assert long == ["--time=0-01:00:00"] * 2
    assert "--time=0-00:19:50" <= one == two <= "--time=0-00:20:00"
    assert "maintenance" in main.rows()[0].reason
    main.visit(0)
    main.pass_time(61)
    main.visit(0)
    assert fake.ids("PENDING") == [], "what nobody wants is taken back, behind it or not"


@pytest.mark.parametrize(
    ("begins_in_s", "shortest_s"),
    [(1260, 700.0), (200, 1.0), (-5, 1.0)],
    ids=["no time for two of the shortest", "hardly any time", "it has begun"],
)
def test_without_the_time_for_it_nothing_comes_before_a_maintenance(
    main, fake, begins_in_s, shortest_s
):
    behind(main, fake, begins_in_s)
    main.visit(3, shortest_s=shortest_s)
    assert main.states() == ["waiting"] * 2


def test_a_maintenance_that_cannot_be_asked_about_submits_nothing(main, fake):
    behind(main, fake, 1260)
    fake.say("scontrol", {"status": 1, "error": "Unable to contact", "always": True})
    assert "Unable" in main.visit(3).trouble
    assert main.states() == ["waiting"] * 2


# ------------------------------------------------------------------------------------------ R1, R2, R6


def test_a_batch_system_that_does_not_answer_changes_nothing(main, fake):
    main.visit(2)
    fake.say(
        "squeue", {"status": 1, "error": "slurm_load_jobs error: Unable to contact", "always": True}
    )
    for _ in range(5):
        main.pass_time(100)
        assert main.visit(5).submitted == 0
    assert main.states() == ["waiting", "waiting"]
    assert "Unable to contact" in main.status.trouble
    assert main.status.answered_at is None or main.status.answered_at < main.status.asked_at


def test_what_a_command_leaves_behind_is_not_waited_for():
    said = Runner(limit_s=30).run(["sh", "-c", "sleep 40 & echo 7; exit 3"])
    assert (said.out, said.status) == ("7\n", 3)


def test_a_batch_system_that_hangs_is_waited_for_no_longer_than_its_limit(main, fake):
    main.visit(1)
    fake.say("squeue", {"sleep_s": 30})
    assert "did not answer" in main.visit(1).trouble
    assert main.states() == ["waiting"]


def test_a_job_missing_from_one_list_is_still_there(main, fake):
    main.visit(1)
    fake.say("squeue", {"out": ""})
    main.pass_time(100)
    main.visit(1)
    assert main.states() == ["waiting"]
    main.pass_time(100)
    main.visit(1)
    assert main.states() == ["waiting"]


def test_a_job_missing_from_two_lists_is_over_and_the_accounting_says_how(main, fake):
    main.visit(1)
    worker = main.start()
    main.age_worker(worker, 500)
    main.kill(worker)
    fake.forget("101")
    fake.account("101|NODE_FAIL|0:0")
    main.pass_time(100)
    main.visit(1)
    assert main.states() == ["running"]
    main.pass_time(61)
    main.visit(0)
    assert [(row.state, row.reason) for row in main.rows()] == [("lost", "node_fail (0:0)")]


def test_a_list_that_came_from_before_the_submission_says_nothing(main, fake):
    main.visit(1)
    fake.forget("101")
    main.pass_time(-1)  # as if it had been submitted later than the list was made
    main.visit(1)
    assert main.entry.answered_us is not None
    with main.store.reading() as unit:
        assert unit.execute(select(tables.pilot.c.missed_us)).scalar() is None


def test_lost_jobs_and_reused_ids_are_not_mixed_up(main, fake):
    main.visit(1)
    (first,) = main.rows()
    fake.forget("101", next_id=101)
    fake.add(id="101", name="stoker_lab_somebodyelse", state="COMPLETED")
    main.pass_time(100)
    main.visit(2)
    assert main.states()[0] == "waiting", "another job's end is not this one's"
    main.pass_time(61)
    main.visit(2)
    assert main.rows()[0].state == "failed"
    assert main.rows()[0].id == first.id


# --------------------------------------------------------------------------------- R4, R5, R7, R8, R9


def test_a_worker_that_lives_outweighs_the_list(main, fake):
    main.visit(1)
    fake.forget("101")
    main.start()
    for _ in range(3):
        main.pass_time(100)
        main.visit(1)
    assert main.states() == ["running"]
    fake.add(id="101", name=f"stoker_lab_{main.rows()[0].id}", state="COMPLETED")
    main.visit(1)
    assert main.states() == ["running"], "accounting may run ahead, too"


def test_of_two_jobs_of_one_name_the_younger_is_cancelled(main, fake):
    main.visit(1)
    fake.add(id="205", name=fake.jobs[0]["name"], state="PENDING")
    main.visit(1)
    assert fake.ids("CANCELLED") == ["205"]
    assert fake.ids("PENDING") == ["101"]
    main.visit(1)
    assert main.states() == ["waiting"]


@pytest.mark.parametrize(
    "word", ["SUSPENDED", "COMPLETING", "REQUEUED", "SPECIAL_EXIT", "WONDERFUL"]
)
def test_a_state_that_is_not_an_end_keeps_the_pilot(main, fake, word):
    main.visit(1)
    fake.set("101", state=word, reason="None")
    for _ in range(3):
        main.pass_time(100)
        main.visit(1)
    assert main.states()[0] in ("waiting", "running")
    assert word.lower() in main.reasons()[0].lower()


def test_a_pilot_that_was_pre_empted_is_lost_only_once_it_does_not_come_back(main, fake):
    main.visit(1)
    worker = main.start()
    main.age_worker(worker, 500)
    main.kill(worker)
    fake.set("101", state="PREEMPTED", reason="None")
    main.visit(1)
    assert main.states() == ["running"]
    fake.set("101", state="PENDING", reason="BeginTime")
    main.visit(1)
    assert main.states() == ["waiting"]
    fake.set("101", state="PREEMPTED", reason="None")
    main.visit(1)
    main.pass_time(61)
    main.visit(0)
    assert (main.states(), main.entry.failed) == (["lost"], 0)


def test_a_foreign_job_with_any_name_disturbs_nothing(main, fake):
    main.visit(1)
    for at, name in enumerate(("a name with space", 'quote"x', "x<><>y", "--", "")):
        fake.add(id=str(300 + at), name=name)
    fake.say("squeue", {"does": True}, {"does": True})
    main.visit(1)
    assert main.states() == ["waiting"]


def test_what_waits_for_something_that_never_comes_is_refused(main, fake):
    main.visit(1)
    fake.set("101", reason="PartitionConfig")
    main.visit(1)
    assert main.states() == ["waiting"]
    main.pass_time(601)
    main.visit(1)
    assert (main.states()[0], main.entry.refused) == ("refused", 1)
    assert "PartitionConfig" in main.reasons()[0]
    assert fake.ids("CANCELLED") == ["101"]


# ------------------------------------------------------------------------------------ R10, R12, numbers


def test_a_removed_batch_system_cancels_what_waits_and_lets_run_what_runs(main, fake):
    main.visit(2)
    fake.set("101", state="RUNNING")
    main.start(0)
    entries.set_entries(main.store, [], file=str(main.folder / "stoker.toml"))
    main.visit(0)
    main.pass_time(61)
    main.visit(0)
    main.visit(0)
    assert main.states() == ["running", "cancelled"]
    assert fake.ids("CANCELLED") == ["102"]
    assert main.visit(5).submitted == 0


def test_what_is_wanted_no_more_is_taken_back_after_a_while(main, fake):
    main.visit(2)
    main.visit(0)
    assert main.states() == ["waiting", "waiting"]
    main.pass_time(61)
    main.visit(0)
    main.visit(0)
    assert main.states() == ["cancelled", "cancelled"]
    assert main.entry.failed == 0


def test_a_pilot_that_begins_while_it_is_taken_back_ends_at_once(main, fake):
    main.visit(1)
    main.visit(0)
    main.pass_time(61)
    main.visit(0)
    assert main.start() is None


def test_it_begins_with_two_and_doubles_while_they_start_at_once(desk, fake):
    main = desk(max_pilots=40)
    seen = []
    for _ in range(5):
        seen.append(main.visit(40).submitted)
        for at, row in enumerate(main.rows()):
            if row.state == "waiting":
                main.start(at)
    assert seen == [2, 4, 8, 16, 10]


def test_where_they_queue_two_wait(desk, fake):
    main = desk(max_pilots=40)
    assert main.visit(40).submitted == 2
    for _ in range(3):
        main.pass_time(200)
        assert main.visit(40).submitted == 0


def test_two_visits_at_once_never_submit_too_many(desk, fake):
    main = desk(max_pilots=3, manners=replace(MANNERS, first_waiting=50))
    entries.release(main.store, "main", Actor("me"))
    with main.store.writing() as unit:
        unit.execute(update(tables.batch).values(pace=50))
    threads = [threading.Thread(target=main.visit, args=(9,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert main.states() == ["waiting"] * 3
    assert len(fake.jobs) == 3


# ---------------------------------------------------------------------------------------------- B7


def test_three_that_never_worked_hold_it_with_their_last_words(main, fake):
    for n in range(3):
        main.pass_time(3601)
        main.visit(1)
        job = fake.ids("PENDING")[-1]
        main.log("line 4: module: command not found\n")
        fake.set(job, state="FAILED", reason="NonZeroExitCode", node=f"n{n}")
        main.visit(0)
    assert main.states() == ["failed"] * 3
    assert main.status.held
    assert "module: command not found" in main.status.reason
    main.pass_time(10_000)
    assert main.visit(3).submitted == 0
    assert entries.release(main.store, "main", Actor("me"))
    assert main.visit(1).submitted == 1


def test_a_preparation_that_exits_without_an_error_holds_it_too(main, fake):
    for _ in range(3):
        main.pass_time(3601)
        main.visit(1)
        main.log("module loaded\n")
        fake.set(fake.ids("PENDING")[-1], state="COMPLETED", reason="None", node="n1")
        main.visit(0)
    assert main.states() == ["failed"] * 3
    assert main.status.held
    assert "does `prepare` exit?" in main.status.reason


def test_after_a_failure_the_next_waits_longer_each_time(main, fake):
    def fail():
        fake.set(fake.ids("PENDING")[-1], state="FAILED")
        main.visit(0)

    main.visit(1)
    fail()
    assert main.visit(1).submitted == 1
    fail()
    assert main.visit(1).submitted == 0
    assert main.status.not_before is not None
    main.pass_time(61)
    assert main.visit(1).submitted == 1


def test_one_that_worked_forgives_those_before(main, fake):
    main.visit(1)
    fake.set("101", state="FAILED")
    main.visit(0)
    assert main.entry.failed == 1
    main.visit(1)
    main.start(1)
    starts.report(main.store, main.rows()[1].id, done=1)
    assert main.entry.failed == 0


def test_a_node_on_which_three_fail_is_avoided_while_others_work(main, fake):
    main.visit(1)
    fake.set("101", state="RUNNING", node="good")
    main.visit(1)
    main.start(0)
    for _ in range(3):
        main.pass_time(1000)
        main.visit(2)
        job = fake.ids("PENDING")[-1]
        fake.set(job, state="RUNNING", node="bad")
        main.visit(2)
        fake.set(job, state="FAILED")
        main.visit(1)
    assert not main.status.held
    main.pass_time(1)
    main.visit(2)
    assert "--exclude=bad" in fake.jobs[-1]["words"]
    assert "--exclude=bad" not in fake.jobs[0]["words"]


def test_only_a_person_releases_what_a_person_held(main, fake):
    assert entries.hold(main.store, "main", Actor("me", "holidays"))
    main.take_over(cpus=2)
    assert (main.status.held, main.status.held_by) == (True, "me")
    assert main.visit(3).submitted == 0
    assert entries.release(main.store, "main", Actor("me"))
    assert not main.status.held


def test_a_pilot_that_was_ordered_to_end_is_cancelled_and_counts_for_nothing(main, fake):
    main.visit(2)
    submissions.order_end(main.store, "main", [], Actor("me", "enough"))
    main.visit(0)
    main.visit(0)
    assert main.states() == ["cancelled", "cancelled"]
    assert main.reasons() == ["cancelled by me: enough"] * 2
    assert (main.entry.failed, main.entry.refused) == (0, 0)


@pytest.mark.parametrize(
    ("word", "worked_s", "state"),
    [
        ("TIMEOUT", 500, "ended"),
        ("TIMEOUT", 0, "failed"),
        ("COMPLETED", 0, "ended"),
        ("FAILED", 500, "lost"),
        ("OUT_OF_MEMORY", 10, "failed"),
        ("CANCELLED", 500, "cancelled"),
        ("DEADLINE", 500, "ended"),
    ],
)
def test_how_a_pilot_ended(main, fake, word, worked_s, state):
    main.visit(1)
    worker = main.start()
    main.age_worker(worker, worked_s)
    main.kill(worker)
    fake.set("101", state=word, reason="None")
    main.visit(0)
    assert main.states() == [state]


def test_states_are_those_of_the_contract():
    assert PilotState.words() == (
        "waiting", "running", "ended", "lost", "failed", "refused", "cancelled",
    )  # fmt: skip
