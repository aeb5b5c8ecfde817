"""One of Slurm's commands, faked: `program.py FOLDER COMMAND ARGUMENT…`.

`FOLDER/state.json` has the jobs. `FOLDER/COMMAND.say` has lines of JSON that say, one for each call,
what the command is to do and answer instead: `does` (whether it does its work all the same), `sleep_s`,
`status`, `out`, `error`.
"""

import fcntl
import json
import sys
import time
from pathlib import Path

folder, command, *words = Path(sys.argv[1]), *sys.argv[2:]


def option(*names):
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                return words[at + 1]
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
    return None


def sbatch(state):
    job = {
        "id": str(state["next"]), "name": option("--job-name"), "state": "PENDING",
        "reason": "Priority", "node": "", "words": words,
    }  # fmt: skip
    state["next"] += 1
    state["jobs"].append(job)
    return job["id"]


def squeue(state):
    names = option("-n")
    wanted = None if names is None else set(names.split(","))
    return "\n".join(
        "\x1f".join((job["id"], job["state"], job["reason"], job["name"], job["node"]))
        for job in state["jobs"]
        if wanted is None or job["name"] in wanted
    )


def scancel(state):
    for job in state["jobs"]:
        if job["id"] == words[-1] and job["name"] == option("-n") and job["state"] in (
            "PENDING", "RUNNING", "SUSPENDED",
        ):  # fmt: skip
            job["state"], job["reason"] = "CANCELLED", "None"
    return ""


def scontrol(state):
    if "reservation" in words:
        return "\n".join(state.get("reservations", []))
    return "ClusterName             = fake\nKillWait                = 30 sec\n"


def sacct(state):
    return "\n".join(state.get("accounts", []))


with (folder / "lock").open("w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([command, *words]) + "\n")
    say, answers = {}, folder / f"{command}.say"
    if answers.exists():
        first, *rest = answers.read_text().splitlines()
        say = json.loads(first)
        if rest:
            answers.write_text("\n".join(rest))
        elif not say.get("always"):
            answers.unlink()
    out = ""
    if say.get("does", not say or set(say) == {"sleep_s"}):
        state = json.loads((folder / "state.json").read_text())
        out = globals()[command](state)
        (folder / "state.json").write_text(json.dumps(state))
time.sleep(say.get("sleep_s", 0))
sys.stdout.write(say.get("out", out) + "\n")
sys.stderr.write(say.get("error", ""))
sys.exit(say.get("status", 0))
