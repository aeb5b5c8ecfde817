"""The full counts that the tests of this folder take small samples of. By hand, as root:

    .venv/bin/python tests/batch/proof.py [cancel] [share] [crowd] [start] [limit] [drain]

Every part prints what it saw and ends the script with 1 where a promise did not hold.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg

import servers
from batch.lab import Lab
from batch.slurm import Slurm
from integration.work.rig import wait_until

STOKER = Path(sys.executable).parent / "stoker"
CANCELS, PILOTS, CROWD = 24, 6, 40
STEPS = """
[pipelines.p.steps.shell]
run = "sleep 0.3; true"
[pipelines.p.steps.argv]
argv = ["sleep", "0.3"]
[pipelines.p.steps.trap]
run = "trap 'exit 1' TERM; for n in 1 2 3 4 5 6; do sleep 0.05; done"
"""
BRIEF = "[pipelines.p.steps.s]\nrun = 'sleep {s}'\n"


ROOT = Path(tempfile.mkdtemp(prefix="stoker-proof-"))


def lab(steps: str, server: servers.Postgresql | None = None) -> Lab:
    folder = Path(tempfile.mkdtemp(dir=ROOT))
    server = server or servers.server("postgresql")
    return Lab(folder, steps, server.new_database(f"proof{time.monotonic_ns()}"), {})


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def log_of(found: Lab) -> tuple[str, ...]:
    return "-t", "10", "-o", str(found.folder / "job-%j.log")


def cancel(slurm: Slurm) -> bool:
    """Pilots are cancelled in the midst of their work, one after the other: no task fails."""
    found = lab(STEPS)
    found.push(400)
    jobs: list[str] = []
    done = 0
    while done < CANCELS:
        running = [job for job in jobs if slurm.state(job) in ("RUNNING", "PENDING")]
        if len(running) < PILOTS:
            jobs.append(slurm.submit(found.work("--slots 1"), *log_of(found)))
            continue
        with found.project() as project:
            busy = {one.batch_id for one in project.attempts(state="running")}
        for job in running:
            if f"rig:{job}.0" in busy and done < CANCELS:
                slurm.run("scancel", job)
                done += 1
                break
        else:
            time.sleep(0.1)
    for job in jobs:
        slurm.run("scancel", job)
    wait_until(lambda: not slurm.run("squeue", "-h"), "all have ended", within_s=60)
    found.stoker("up", "--once")
    say(f"cancel: {done} running pilots cancelled: {found.states()}, {attempts(found)}")
    say(found.stoker("store", "check", code=None))
    return "failed" not in found.states()


def attempts(found: Lab) -> dict[str, int]:
    with found.project() as project:
        return dict(Counter(one.state for one in project.attempts()))


def share(slurm: Slurm) -> bool:
    """Pilots of one cpu, all on one real host, do equal parts of the work."""
    fine = True
    for n in (2, 4, 8):
        found = lab(BRIEF.format(s=1))
        found.push(12 * n)
        for _ in range(n):
            slurm.submit(found.work("--drain"), *log_of(found))
        wait_until(lambda: not slurm.run("squeue", "-h"), "all have ended", within_s=120)
        with found.project() as project:
            seen = Counter(one.batch_id for one in project.attempts(state="succeeded"))
            began = [one.started_at for one in project.workers(everyone=True)]
        say(f"share: {n} pilots did {sorted(seen.values())}")
        spread = (max(began) - min(began)).total_seconds()
        fine &= len(seen) == n and max(seen.values()) - min(seen.values()) <= 2 + spread
    return fine


def crowd(_slurm: Slurm) -> bool:
    """Workers of batch jobs on a PostgreSQL that takes a hundred connections."""
    server = servers.Postgresql(connections=100)
    try:
        found = lab(BRIEF.format(s=2), server)
        folder = found.folder
        found.push(400)
        workers = [
            subprocess.Popen(
                [STOKER, "work", "--drain", "--slots", "1"], cwd=folder,
                env=found.env
                | {"SLURM_JOB_ID": str(n), "SLURMD_NODENAME": "n1", "SLURM_CONF": "/nowhere"},
                stdout=subprocess.DEVNULL, stderr=(folder / f"{n}.log").open("wb"),
            )
            for n in range(CROWD)
        ]  # fmt: skip
        most = 0
        while any(one.poll() is None for one in workers):
            with psycopg.connect(server.url("postgres").replace("+psycopg", "")) as asking:
                query = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'proof%'"
                most = max(most, asking.execute(query).fetchone()[0])
            time.sleep(0.2)
        codes = Counter(one.returncode for one in workers)
        lines = Counter(len((folder / f"{n}.log").read_text().splitlines()) for n in range(CROWD))
        say(f"crowd: {CROWD} workers: {most} connections at most, exit codes {dict(codes)}")
        say(f"crowd: lines in a log: {dict(lines)}; tasks: {found.states()}")
        return codes == {0: CROWD} and found.states() == {"done": 400}
    finally:
        server.close()


def children_s() -> float:
    """The processor time that ended children took."""
    times = os.times()
    return times.children_user + times.children_system


def start(_slurm: Slurm) -> bool:
    """From the start of the process to the first claim, beside Python with SQLAlchemy alone."""
    found = lab(BRIEF.format(s=0))
    import_s, cpu_s, claims_s = [], [], []
    for n in range(5):
        before_s = children_s()
        subprocess.run([sys.executable, "-c", "import sqlalchemy, psycopg"], check=True)
        import_s.append(children_s() - before_s)
        found.stoker("push", "p", f"start{n}")
        before_s, began = children_s(), time.time()
        found.stoker("work", "--drain")
        cpu_s.append(children_s() - before_s)
        with found.project() as project:
            claims_s.append(max(one.claimed_at for one in project.attempts()).timestamp() - began)
    say(
        f"start: first claim after {min(claims_s):.2f} to {max(claims_s):.2f} s, whole command "
        f"{min(cpu_s):.2f} s of processor time, Python with SQLAlchemy {min(import_s):.2f} s"
    )
    return min(claims_s) < 2


def limit(slurm: Slurm) -> bool:
    """A job with Slurm's own limit of a minute: the worker is gone before Slurm has to end it."""
    found = lab(BRIEF.format(s=600))
    found.push(1)
    job = slurm.submit(found.work(), "-t", "1", "-o", str(found.folder / "job.log"))
    began = time.monotonic()
    wait_until(lambda: slurm.state(job) not in ("PENDING", "RUNNING"), "it ends", within_s=100)
    say(f"limit: {slurm.state(job)} after {time.monotonic() - began:.0f} s: {found.states()}")
    say((found.folder / "job.log").read_text().strip())
    return slurm.state(job) == "COMPLETED" and found.states() == {"ready": 1}


def drain(slurm: Slurm) -> bool:
    """A node is drained: what runs there goes on."""
    found = lab(BRIEF.format(s=1))
    found.push(8)
    job = slurm.submit(found.work("--drain"), *log_of(found))
    wait_until(lambda: found.states().get("running"), "it works")
    node = slurm.run("squeue", "-h", "-j", job, "-o", "%N")
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=proof")
    wait_until(lambda: slurm.state(job) == "COMPLETED", "it ends", within_s=60)
    slurm.run("scontrol", "update", f"NodeName={node}", "State=RESUME")
    say(f"drain: {found.states()}")
    return found.states() == {"done": 8}


def main() -> int:
    chosen = sys.argv[1:] or ["cancel", "share", "crowd", "start", "limit", "drain"]
    slurm = Slurm()
    try:
        parts = [cancel, share, crowd, start, limit, drain]
        return int(not all(part(slurm) for part in parts if part.__name__ in chosen))
    finally:
        slurm.close()
        servers.close_all()
        shutil.rmtree(ROOT, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
