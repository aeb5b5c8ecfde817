"""How good the order is: makespans against the lower bound, and forecasts against what came.

    python benchmarks/schedule.py                     # the orders, simulated for 2 to 4,096 slots
    python benchmarks/schedule.py luck                # what chance costs that no order can know
    python benchmarks/schedule.py calibration         # does the end lie within the interval?
    python benchmarks/schedule.py real                # two slots, real processes
    python benchmarks/schedule.py upkeep              # what learning costs
    python benchmarks/schedule.py --svg FILE          # the chart of the documentation

Learned longest-first begins without any history and is fitted as tasks end, by the code that the
store uses. Two traces are recorded: the seismology example's, and that of packing the programs and
libraries of a Debian machine; the others are synthetic and seeded.
"""

import argparse
import csv
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stoker.model.estimate import Observation, fit
from stoker.model.forecast import Open, Step, forecast
from stoker.model.load import Load
from stoker.model.rank import probing, rank_curves, upward_ranks
from stoker.model.simulate import (
    Fleet,
    Host,
    Schedule,
    longest_chain,
    lower_bound,
    simulate,
    split_by_count,
)
from stoker.store.forecasts.estimates import Took, curves_of, thinned

HERE = Path(__file__).parent
SLOTS = (2, 4, 16, 64, 256, 1024, 4096)
TICK_S = 2.5  # between two looks of the upkeep
LOOKS = 60  # at most in one simulation
EARLIER = 800  # tasks of an earlier run, where there is a history


@dataclass
class Trace:
    """Tasks with what they truly take: `rows` are (item, step, size, seconds).

    `failed` has the seconds of the attempts that failed before the one that ended well, by the task's
    position; they are part of its seconds. `retries`: how many each task may have of them.
    """

    name: str
    after: dict[str, tuple[str, ...]]
    rows: list[tuple[int, str, int | None, float]]
    failed: dict[int, list[float]] = field(default_factory=dict)
    retries: int = 0
    loads: list[Load] = field(init=False)

    def __post_init__(self) -> None:
        places: dict[tuple[int, str], int] = {}
        self.loads = []
        for at, (item, step, _, seconds) in enumerate(self.rows):
            places[item, step] = at
            before = (places.get((item, one)) for one in self.after[step])
            self.loads.append(Load(seconds, after=tuple(one for one in before if one is not None)))

    @property
    def successors(self) -> dict[str, list[str]]:
        """Return the steps after each step."""
        return {
            step: [s for s, before in self.after.items() if step in before] for step in self.after
        }

    def attempts(self, at: int) -> list[float]:
        """Return the seconds of the task's attempts; the last one ended well."""
        failed = self.failed.get(at, [])
        return [*failed, self.rows[at][3] - sum(failed)]

    def of_items(self) -> list[float]:
        """Return the seconds of each item, all steps together."""
        totals: dict[int, float] = {}
        for item, _, _, seconds in self.rows:
            totals[item] = totals.get(item, 0.0) + seconds
        return list(totals.values())


# ------------------------------------------------------------------------------------------ traces


# What follows what in the recorded traces, and how many items at their beginning are left out: those
# that had to wait for their slot's warm process to start.
RECORDED: dict[str, tuple[dict[str, tuple[str, ...]], int]] = {
    "seismology": (
        {"read": (), "trigger": ("read",), "plot": ("read", "trigger"), "bulletin": ("trigger",)},
        2,
    ),
    "archive": ({"pack": (), "words": (), "test": ("pack",)}, 0),
}


def recorded(name: str) -> Callable[..., Trace]:
    """Return what makes a trace of so many recorded tasks, or of all, their items shuffled."""
    after, warming = RECORDED[name]

    def make(n: int, seed: int, *, is_earlier: bool = False) -> Trace:
        """Take items from the beginning of the shuffled ones; from their end for an earlier run."""
        items: dict[str, list[tuple[str, int, float]]] = {}
        with (HERE / "traces" / f"{name}.csv").open() as file:
            for row in csv.DictReader(file):
                one = row["step"], int(row["size_bytes"]), int(row["took_us"]) / 1e6
                items.setdefault(row["item"], []).append(one)
        order = list(items.values())[warming:]
        random.Random(seed).shuffle(order)
        rows: list[tuple[int, str, int | None, float]] = []
        for at, item in enumerate(reversed(order) if is_earlier else order):
            if len(rows) + len(item) > n:
                break
            rows += [(at, *one) for one in item]
        return Trace(name, after, rows)

    return make


def synthetic(
    name: str, draw: Callable[[random.Random], tuple[int | None, float]]
) -> Callable[[int, int], Trace]:
    """Return what makes a trace of one step, of so many tasks, with that seed."""

    def make(n: int, seed: int) -> Trace:
        chance = random.Random(seed)
        return Trace(name, {"a": ()}, [(at, "a", *draw(chance)) for at in range(n)])

    return make


def _sized(chance: random.Random, noise: float) -> tuple[int, float]:
    size = min(chance.lognormvariate(math.log(20e6), 1.2), 5e9)
    return round(size), size / 2e6 * chance.lognormvariate(0, noise)


def two_steps(n: int, seed: int) -> Trace:
    """Conversion grows with the size, analysis with its square root and with chance."""
    chance, rows = random.Random(seed), []
    for at in range(n // 2):
        size, took_s = _sized(chance, 0.2)
        rows += [(at, "convert", size, took_s)]
        rows += [(at, "analyse", size, 0.01 * math.sqrt(size) * chance.lognormvariate(0, 0.5))]
    return Trace("two steps", {"convert": (), "analyse": ("convert",)}, rows)


def tried_again(n: int, seed: int) -> Trace:
    """Two in ten attempts fail on their way, and are tried again up to three times."""
    chance, rows, failed = random.Random(seed), [], {}
    for at in range(n):
        size, took_s = _sized(chance, 0.3)
        failed[at] = []
        while chance.random() < 0.2 and len(failed[at]) < 3:
            failed[at].append(took_s * chance.random())
        rows += [(at, "a", size, took_s + sum(failed[at]))]
    return Trace("tried again", {"a": ()}, rows, failed, retries=3)


TRACES: dict[str, Callable[..., Trace]] = {
    **{name: recorded(name) for name in RECORDED},
    "sized": synthetic("sized", lambda r: _sized(r, 0.3)),
    "two steps": two_steps,
    "tried again": tried_again,
    "lognormal": synthetic("lognormal", lambda r: (None, r.lognormvariate(1.5, 1.2))),
    "pareto": synthetic("pareto", lambda r: (None, min(2 * r.paretovariate(1.5), 2e3))),
    "bimodal": synthetic("bimodal", lambda r: (None, r.gauss(60, 5) if r.random() < 0.1 else 2.0)),
}


def earlier(name: str, seed: int) -> Trace:
    """Return an earlier run of the same steps: of recorded ones other items, where there are more."""
    if name in RECORDED:
        return TRACES[name](EARLIER, seed, is_earlier=True)
    return TRACES[name](EARLIER, seed + 100)


def _mean_s(step: str, size: int | None) -> float:
    """Return what a task of `two steps` takes on average."""
    if step == "convert":
        return (size or 0) / 2e6 * math.exp(0.2**2 / 2)
    return 0.01 * math.sqrt(size or 0) * math.exp(0.5**2 / 2)


# The true mean of a task, given its step and size; of the recorded ones nobody knows it.
MEANS: dict[str, Callable[[str, int | None], float]] = {
    "sized": lambda _, size: float(size or 0),
    "two steps": _mean_s,
    "lognormal": lambda _step, _size: 1.0,
    "pareto": lambda _step, _size: 1.0,
    "bimodal": lambda _step, _size: 1.0,
}


# ------------------------------------------------------------------------------------------ orders


class Learner:
    """What the upkeep does: samples, fits, ranks; from nothing."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.samples: dict[str, list[Took]] = {step: [] for step in trace.after}
        self.steps: dict[Hashable, Step] = {}
        self.fit()

    def see(self, ended: Sequence[int]) -> None:
        """Take in what has ended."""
        for at in ended:
            _, step, size, _ = self.trace.rows[at]
            *failed, seconds = self.trace.attempts(at)
            self.samples[step] += [Took(size, round(one * 1000), "", 1, 2) for one in failed]
            self.samples[step].append(Took(size, round(seconds * 1000), "", 1, 0))
        for step, sample in self.samples.items():
            self.samples[step] = thinned(sample)

    def recall(self, history: Trace) -> None:
        """Know what another trace of the same steps took."""
        for at, (_, step, size, _) in enumerate(history.rows):
            seconds = history.attempts(at)[-1]
            self.samples[step].append(Took(size, round(seconds * 1000), "", 1, 0))
        self.see([])
        self.fit()

    def fit(self, running: Mapping[str, Sequence[Observation]] | None = None) -> None:
        """Fit every step, to what still runs too where that is given."""
        places = {step: at for at, step in enumerate(self.trace.after)}
        running = running or {}
        fits = {
            places[step]: fit(
                [Observation(one.size, one.ms / 1000, has_failed=one.how > 0) for one in sample]
                + list(running.get(step, ()))
            )
            if sample
            else None
            for step, sample in self.samples.items()
        }
        curves = curves_of(fits)
        self.steps = {
            step: Step(curves[at], fits[at], self.trace.retries) for step, at in places.items()
        }

    def orders(self) -> list[float]:
        """Return the order of every task, lowest first."""
        ranks = rank_curves(self.trace.successors, {s: one.curve for s, one in self.steps.items()})
        unknown = [step for step, one in self.steps.items() if one.fit is None]
        ranks = probing(ranks, self.trace.successors, unknown)
        return [-ranks[step].at(size) for _, step, size, _ in self.trace.rows]

    def watch(self, _now: float, ended: Sequence[int]) -> Sequence[float]:
        """Do all three: what the simulator calls."""
        self.see(ended)
        self.fit()
        return self.orders()


class Medians:
    """The plainest way of learning: the median of each step and class of sizes, a doubling wide."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.seen: dict[str, dict[int, list[float]]] = {step: {} for step in trace.after}

    def watch(self, _now: float, ended: Sequence[int]) -> Sequence[float]:
        """Take in what has ended; return the order of every task, lowest first."""
        for at in ended:
            _, step, size, seconds = self.trace.rows[at]
            self.seen[step].setdefault((size or 0).bit_length(), []).append(seconds)
        known = {
            step: {size_class: statistics.median(took) for size_class, took in classes.items()}
            for step, classes in self.seen.items()
        }
        means = [self._median(known[step], size) for _, step, size, _ in self.trace.rows]
        return [-rank for rank in ranks_by(self.trace, means)]

    @staticmethod
    def _median(known: Mapping[int, float], size: int | None) -> float:
        """Return the median of the size's class, or of the nearest that is known."""
        own = (size or 0).bit_length()
        return known[min(known, key=lambda one: abs(one - own))] if known else float(size or 0)


def by_medians(trace: Trace, fleet: Fleet) -> Schedule:
    """Return how it goes in the order of the medians that are learned on the way."""
    learner = Medians(trace)
    orders = learner.watch(0.0, [])
    loads = [load._replace(order=o) for load, o in zip(trace.loads, orders, strict=True)]
    every_s = max(TICK_S, lower_bound(trace.loads, fleet) / LOOKS)
    return simulate(loads, fleet, watch=learner.watch, every_s=every_s)


def by_order(trace: Trace, fleet: Fleet, order: Sequence[float]) -> Schedule:
    """Return how it goes in an order that is fixed beforehand."""
    return simulate(
        [load._replace(order=o) for load, o in zip(trace.loads, order, strict=True)], fleet
    )


def learned(trace: Trace, fleet: Fleet, history: Trace | None = None) -> Schedule:
    """Return how it goes in the order that is learned on the way, or that was before."""
    learner = Learner(trace)
    if history is not None:
        learner.recall(history)
    loads = [load._replace(order=o) for load, o in zip(trace.loads, learner.orders(), strict=True)]
    every_s = max(TICK_S, lower_bound(trace.loads, fleet) / LOOKS)
    return simulate(loads, fleet, watch=learner.watch, every_s=every_s)


def true_ranks(trace: Trace) -> list[float]:
    """Ranks with what each task truly takes: what nobody can know."""
    return ranks_by(trace, [seconds for _, _, _, seconds in trace.rows])


def informed(trace: Trace, fleet: Fleet) -> tuple[float, float]:
    """Return the makespan by the true means of every size, without the luck of each task.

    It is the most that any history can tell. And how many times its mean the task took that ended
    last. NaN where the means are not known.
    """
    mean = MEANS.get(trace.name)
    if mean is None:
        return math.nan, math.nan
    means = [mean(step, size) for _, step, size, _ in trace.rows]
    done = by_order(trace, fleet, [-rank for rank in ranks_by(trace, means)])
    last = max(range(len(means)), key=lambda at: done.ends[at])
    return done.makespan, trace.rows[last][3] / means[last]


def ranks_by(trace: Trace, taken_s: Sequence[float]) -> list[float]:
    """Return the rank of each task if they take so long."""
    by_item: dict[int, dict[str, float]] = {}
    for (item, step, _, _), one_s in zip(trace.rows, taken_s, strict=True):
        by_item.setdefault(item, {})[step] = one_s
    ranks = {}
    for item, seconds in by_item.items():
        after = {step: [s for s in trace.successors[step] if s in seconds] for step in seconds}
        ranks[item] = upward_ranks(after, seconds)
    return [ranks[item][step] for item, step, _, _ in trace.rows]


def compare(trace: Trace, slots: int, seed: int) -> dict[str, float]:
    """Return makespans over the lower bound, by the way of ordering."""
    history = earlier(trace.name, seed)
    fleet = Fleet((Host(slots),))
    bound = lower_bound(trace.loads, fleet)
    chance, ranks = random.Random(seed), true_ranks(trace)
    n = len(trace.rows)
    spans = {
        "learned": learned(trace, fleet).makespan,
        "with history": learned(trace, fleet, history).makespan,
        "medians": by_medians(trace, fleet).makespan,
        "informed": informed(trace, fleet)[0],
        "all-knowing": by_order(trace, fleet, [-rank for rank in ranks]).makespan,
        "arrival": by_order(trace, fleet, list(range(n))).makespan,
        "random": by_order(trace, fleet, [chance.random() for _ in range(n)]).makespan,
        "shortest": by_order(trace, fleet, ranks).makespan,
        "equal count": split_by_count(trace.of_items(), slots),
    }
    return {name: span / bound for name, span in spans.items()}


def tasks_for(slots: int, most: int) -> int:
    """Return how many tasks make the comparison meaningful: dozens for each slot."""
    return min(max(2_000, 25 * slots), most)


def orders(options: argparse.Namespace) -> None:
    """Print a table for each trace; draw it with `--svg`."""
    figures: dict[str, dict[int, dict[str, float]]] = {}
    worst = {"learned": 0.0, "with history": 0.0}
    for name in options.traces or TRACES:
        print(f"\n{name}: makespan over lower bound")
        for slots in SLOTS:
            trace = TRACES[name](tasks_for(slots, options.most), options.seed)
            found = compare(trace, slots, options.seed)
            share = sum(load.seconds for load in trace.loads) / slots / longest_chain(trace.loads)
            note = "" if share >= 1 else "  the longest item is the bound"
            if not figures.get(name):
                print(f"{'slots':>6} {'tasks':>7} " + " ".join(f"{one:>12}" for one in found))
            figures.setdefault(name, {})[slots] = found
            row = " ".join(_cell(value) for value in found.values())
            print(f"{slots:6} {len(trace.rows):7} {row}{note}", flush=True)
            if share >= 2 and trace.rows[0][2] is not None:
                worst = {way: max(most, found[way]) for way, most in worst.items()}
    most = ", ".join(f"{way} {ratio:.3f}" for way, ratio in worst.items())
    print(f"\nat most, where sizes are known and all work is twice the longest item: {most}")
    if options.svg:
        Path(options.svg).write_text(chart(figures), encoding="utf-8")


def _cell(ratio: float) -> str:
    return f"{'-':>12}" if math.isnan(ratio) else f"{ratio:12.3f}"


def luck(options: argparse.Namespace) -> None:
    """Print makespans over the lower bound on 64 slots, on average over seeds, as tasks get more."""
    print(
        f"{'trace':12} {'tasks':>7} {'learned':>12} {'informed':>12} {'all-knowing':>12}"
        "  the last to end, over its mean"
    )
    fleet = Fleet((Host(64),))
    for name in options.traces or ["two steps"]:
        for n in (2_000, 4_000, 8_000):
            found, unlucky = [], []
            for seed in range(options.seed, options.seed + options.seeds):
                trace = TRACES[name](n, seed)
                bound = lower_bound(trace.loads, fleet)
                knowing = by_order(trace, fleet, [-rank for rank in true_ranks(trace)])
                by_means, off = informed(trace, fleet)
                spans = learned(trace, fleet).makespan, by_means, knowing.makespan
                found.append([span / bound for span in spans])
                unlucky.append(off)
            means = [statistics.mean(ratios) for ratios in zip(*found, strict=True)]
            last = f"{statistics.median(unlucky):.1f} x (median)"
            print(f"{name:12} {n:7} {' '.join(map(_cell, means))}  {last}", flush=True)


# ------------------------------------------------------------------------------------- calibration


def asked(trace: Trace, slots: int, share: float) -> tuple[float, float, float, float]:
    """Return forecast, low, high and truth, in seconds from the moment when that share had ended."""
    fleet = Fleet((Host(slots),))
    done = learned(trace, fleet)
    order = sorted(range(len(trace.rows)), key=lambda at: done.ends[at])
    now = done.ends[order[int(share * (len(order) - 1))]]
    learner = Learner(trace)
    learner.see([at for at in order if done.ends[at] <= now])
    running: dict[str, list[Observation]] = {}
    for at in order:
        if done.starts[at] <= now < done.ends[at]:
            _, step, size, _ = trace.rows[at]
            one = Observation(size, of_attempt(trace, at, now - done.starts[at]), is_censored=True)
            running.setdefault(step, []).append(one)
    learner.fit(running)
    ranks = learner.orders()
    left = [at for at in range(len(order)) if done.ends[at] > now]
    place = {at: n for n, at in enumerate(left)}
    tasks = [
        Open(
            trace.rows[at][1],
            trace.rows[at][2],
            order=ranks[at],
            after=tuple(place[one] for one in trace.loads[at].after if one in place),
            elapsed_s=of_attempt(trace, at, now - done.starts[at])
            if done.starts[at] <= now
            else None,
        )
        for at in left
    ]
    draw = random.Random(len(tasks)).random
    found = forecast(tasks, learner.steps, fleet, draw)[None]
    return found.eta_s, found.low_s, found.high_s, done.makespan - now


def of_attempt(trace: Trace, at: int, elapsed_s: float) -> float:
    """Return for how long the attempt has run that is under way then, of those of the task."""
    for seconds in trace.attempts(at)[:-1]:
        if elapsed_s < seconds:
            break
        elapsed_s -= seconds
    return elapsed_s


def calibration(options: argparse.Namespace) -> None:
    """Print how often the true end lay within the interval, by trace and by how much had ended."""
    inside_all = n_all = 0
    print(f"{'trace':12} {'10 %':>7} {'25 %':>7} {'50 %':>7} {'75 %':>7}   all    error (median)")
    for name in options.traces or TRACES:
        row, errors, inside, n = [], [], 0, 0
        for share in (0.1, 0.25, 0.5, 0.75):
            hits = 0
            for seed in range(options.seeds):
                slots = (2, 4, 8, 16)[seed % 4]
                trace = TRACES[name](300, options.seed + seed)
                eta, low, high, truth = asked(trace, slots, share)
                hits += low <= truth <= high
                errors.append(abs(math.log(max(eta, 1e-3) / max(truth, 1e-3))))
            row.append(f"{hits / options.seeds:7.0%}")
            inside, n = inside + hits, n + options.seeds
        error = math.exp(statistics.median(errors)) - 1
        print(f"{name:12} {' '.join(row)} {inside / n:5.0%}   {error:.0%}", flush=True)
        inside_all, n_all = inside_all + inside, n_all + n
    print(f"all: {inside_all / n_all:.0%} of {n_all} ends within their interval of 80 %")


# -------------------------------------------------------------------------------------------- real

PROJECT = """
[project]
name = "bench"
[pipelines.p]
[pipelines.p.steps.s]
python = "work:work"
"""
WORK = """
import os, time
def work(task):
    time.sleep(os.stat(task.item).st_size / 1e6)
"""


def real(options: argparse.Namespace) -> None:
    """Run sleeping tasks on two slots: busy slots with even ones, the makespan with uneven ones."""
    import json

    chance = random.Random(options.seed)
    cases = {
        "1 s each": [1.0] * options.tasks,
        "uneven": [min(chance.lognormvariate(-0.7, 1.0), 8) for _ in range(options.tasks)],
    }
    for name, seconds in cases.items():
        with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
            Path(folder, "stoker.toml").write_text(PROJECT)
            Path(folder, "work.py").write_text(WORK)
            Path(folder, "in").mkdir()
            for at, took_s in enumerate(seconds):
                with Path(folder, "in", f"f{at:04}").open("wb") as file:
                    file.truncate(round(took_s * 1e6))
            stoker = str(Path(sys.executable).with_name("stoker"))
            argv = [stoker, "run", "p", "in", "--slots", "2", "--json"]
            done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
        fleet = Fleet((Host(2),))
        loads = [Load(one, at) for at, one in enumerate(seconds)]
        bound = lower_bound(loads, fleet)
        print(
            f"{name}: {len(seconds)} tasks, slots busy {found['slots_busy']:.2%}; "
            f"{found['worked_s']:.1f} s is {found['worked_s'] / bound:.3f} of the lower bound; "
            f"by arrival {simulate(loads, fleet).makespan / bound:.3f}, "
            f"by equal count {split_by_count(seconds, 2) / bound:.3f}",
            flush=True,
        )


# ------------------------------------------------------------------------------------------ upkeep

DISPATCH = """
import sys, time
from pathlib import Path
from stoker.model.item import NewItem
from stoker.project.services.janitor import Janitor
from stoker.project.services.service import Services
from stoker.spec.load import load_project
from stoker.store.forecasts import reordering
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.orders import versions
from stoker.store.database.connect import open_store
from stoker.work import leftovers
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker

folder, tasks, is_on = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "on"
spent = [0.0]
look_after = reordering.look_after

def measured(store, **more):
    began = time.thread_time()
    if is_on:
        look_after(store, **more)
    spent[0] += time.thread_time() - began

reordering.look_after = measured
loaded = load_project(folder / "stoker.toml")
store = open_store(loaded.settings.store_url)
for pipeline in loaded.pipelines.values():
    versions.apply_version(store, pipeline, host="here", path=str(folder))
items = (NewItem(key=f"k{n:07}", path=f"/d/{n}", size_bytes=n * 1000) for n in range(tasks))
register.register(store, "p", items, Actor("bench"))
began = time.perf_counter()
worker = Worker(StoreLink(store), loaded.settings, slots=2, drain=True)
root = leftovers.scratch_root(StoreLink(store), loaded.settings)
Services([Janitor(store, scratch_root=root)], worker).run()
took = time.perf_counter() - began
print(tasks / took, spent[0] / took)
"""


def upkeep(options: argparse.Namespace) -> None:
    """Dispatch short processes with and without learning, in turns."""
    rates: dict[str, list[float]] = {"on": [], "off": []}
    shares = []
    for _ in range(options.rounds):
        for way, found in rates.items():
            with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
                Path(folder, ".stoker").mkdir()
                text = '[project]\nname = "b"\n[pipelines.p]\n[pipelines.p.steps.s]\n'
                Path(folder, "stoker.toml").write_text(text + 'argv = ["/bin/true"]\n')
                argv = [sys.executable, "-c", DISPATCH, folder, str(options.tasks * 200), way]
                done = subprocess.run(argv, capture_output=True, text=True, check=True)
                rate, share = map(float, done.stdout.split())
            found.append(rate)
            if way == "on":
                shares.append(share)
        print(f"with {rates['on'][-1]:.0f}/s, without {rates['off'][-1]:.0f}/s", file=sys.stderr)
    ratio = statistics.median(a / b for a, b in zip(rates["on"], rates["off"], strict=True))
    print(
        f"dispatch with learning over without: {ratio:.3f} (median of {options.rounds}); "
        f"processor time of learning and reordering: {statistics.median(shares):.2%} of the time"
    )


# ------------------------------------------------------------------------------------------- chart

_COLOURS = {
    "learned": "#d0453c", "with history": "#b279a2", "all-knowing": "#888888", "arrival": "#4878a8", "random": "#8d7866",
    "shortest": "#5f9e6e", "equal count": "#d08a3c",
}  # fmt: skip


def chart(figures: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    """Return small charts of makespan over lower bound by slots, one for each trace."""
    wide, high, columns = 300, 190, 4
    rows = -(-len(figures) // columns)
    size = f'width="{wide * columns}" height="{high * rows + 30}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    ]
    parts.append(f'<rect {size} fill="white"/>')
    for at, (name, colour) in enumerate(_COLOURS.items()):
        x = 20 + at * 110
        parts.append(f'<path d="M{x} 15h18" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 22}" y="19">{name}</text>')
    for at, (name, found) in enumerate(figures.items()):
        left, top = at % columns * wide, 30 + at // columns * high
        parts += _small(name, found, left, top, wide, high)
    return "\n".join([*parts, "</svg>\n"])


def _small(
    name: str, found: Mapping[int, Mapping[str, float]], left: int, top: int, wide: int, high: int
) -> Iterator[str]:
    most = 3.0

    def x_of(slots: int) -> float:
        return left + 40 + (math.log2(slots) - 1) / 11 * (wide - 60)

    def y_of(ratio: float) -> float:
        return top + high - 30 - (min(ratio, most) - 1) / (most - 1) * (high - 60)

    yield f'<text x="{left + 40}" y="{top + 18}" font-weight="bold">{name}</text>'
    for ratio in (1, 1.5, 2, 2.5, 3):
        y = y_of(ratio)
        yield f'<path d="M{left + 40} {y:.0f}H{left + wide - 20}" stroke="#ddd"/>'
        yield f'<text x="{left + 34}" y="{y + 4:.0f}" text-anchor="end">{ratio:g}</text>'
    for slots in found:
        label = f'<text x="{x_of(slots):.0f}" y="{top + high - 14}" text-anchor="middle">'
        yield f"{label}{slots}</text>"
    for way, colour in reversed(_COLOURS.items()):
        points = " ".join(f"{x_of(n):.1f},{y_of(one[way]):.1f}" for n, one in found.items())
        width = 2.5 if way == "learned" else 1.2
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", default="orders",
        choices=("orders", "luck", "calibration", "real", "upkeep"),
    )  # fmt: skip
    parser.add_argument("--traces", nargs="*", choices=list(TRACES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--seeds", type=int, default=12, help="runs for each point of the calibration"
    )
    parser.add_argument("--most", type=int, default=100_000, help="tasks of a trace")
    parser.add_argument("--tasks", type=int, default=60, help="real tasks; times 200 for upkeep")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--svg")
    options = parser.parse_args()
    began = time.perf_counter()
    commands = {
        "orders": orders, "luck": luck, "calibration": calibration, "real": real, "upkeep": upkeep,
    }  # fmt: skip
    commands[options.what](options)
    print(f"({time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f})", file=sys.stderr)


if __name__ == "__main__":
    main()
