"""The examples do what their pages say, at a tenth of their size."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import servers

ROOT = Path(__file__).parents[2]


@pytest.fixture
def perform(tmp_path):
    """Run the demo of an example in a copy of its folder; return what it printed."""

    def run(name, *words):
        folder = tmp_path / name
        kept = shutil.ignore_patterns(".stoker", "__pycache__", "raw", "results")
        shutil.copytree(ROOT / "examples" / name, folder, ignore=kept)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [folder / "demo", *words],
            check=False,
            env={**os.environ, "PATH": path},
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        return folder, done.stdout

    return run


def test_the_neuroscience_laboratory_sorts_its_blocks(perform):
    folder, printed = perform("neuroscience", "1")
    report = (folder / "blocks.tsv.report").read_text(encoding="utf-8")
    assert "5 taken, 0 refused, 1 with too few fields skipped" in report
    assert "The recording stops before its time" in printed
    assert "do: copy the block again from the rig" in printed
    assert "1 task ready again" in printed
    sorted_blocks = sorted(path.parent.name for path in folder.glob("results/*/spikes.tsv"))
    assert sorted_blocks == ["Pen01_Lft", "Pen03_Rgt", "Pen04_Rgt", "Pen05_Lft", "Pen06_Rgt"]
    assert len(list(folder.glob("rates/*/spikes.tsv.txt"))) >= 4
    assert "failed" not in printed.rpartition("$ stoker status")[2]


def test_the_days_of_the_satellite_are_flagged_and_the_failed_ones_repaired(perform):
    if shutil.which("octave") is None:
        servers.unavailable("no octave is installed: the satellite example was not tested")
    folder, printed = perform("satellite", "10")
    first, _, rest = printed.partition("$ stoker failures")
    assert "registered 35 items" in first
    assert "36 items, 71 tasks: 25 done, 23 failed, 23 blocked" in first
    assert "22  flag  no calibration limits for this day" in rest
    assert " 1  flag  the list of granules is not complete" in rest
    assert "23 tasks ready again" in rest
    assert "calflags: 35 items (35 done)" in rest
    assert len(list(folder.glob("flags/*.mat"))) == len(list(folder.glob("stats/*.csv"))) == 35
    assert not list(folder.glob("errors/*"))
    assert len((folder / "results" / "days.csv").read_text().splitlines()) == 36
    tasks, failed, processes = rest.splitlines()[-1].split()[2:5]
    assert (int(tasks), int(failed)) == (119, 46)  # a failed day is tried twice
    assert int(processes) <= 2 * (os.cpu_count() or 2) + 3
    years = [(folder / f"results/{year}.csv").read_text().splitlines() for year in (2003, 2004)]
    days = [[int(line.split(",")[1]) for line in lines[1:]] for lines in years]
    assert [sum(one) for one in days] == [17, 18], "the repaired days are in the summaries"


def test_three_tools_are_one_service_that_calls_back(perform, tmp_path):
    if shutil.which("phmmer") is None:
        servers.unavailable("no HMMER is installed: the example of three tools was not tested")
    kept = shutil.ignore_patterns(".stoker", "results")
    shutil.copytree(ROOT / "examples" / "webservice", tmp_path / "webservice", ignore=kept)
    _, printed = perform("structure")
    assert "called back, genuine" in printed
    sequence, states = printed.splitlines()[2:4]
    assert len(sequence) == len(states) == 147
    assert set(states) == set("HEC")
    words = printed.splitlines()[-1].split()
    accepted, waiting = (int(word) for word in words if word.isdecimal())
    assert accepted >= 2, "beside the one that has just called back"
    assert waiting > 0
    assert accepted + waiting == 12


def test_sequencing_data_are_merged_sent_and_archived_and_the_failed_ones_repaired(perform):
    missing = [one for one in ("kallisto", "rsync") if shutil.which(one) is None]
    if missing:
        servers.unavailable(f"no {missing[0]} is installed: the sequencing example was not tested")
    folder, printed = perform("sequencing", "3")
    first, _, rest = printed.partition("$ stoker failures")
    assert "2 failed" in first
    assert "Nobody knows how the qualities of this run are encoded" in rest
    assert "SRP001: it waits for 1 of 2 members: `SRP001/r1` (failed: mates differ" in rest
    assert "errors/SRP002/r1/REASON.txt" in rest
    assert not list(folder.glob("errors/**/REASON.txt")), "all was repaired"
    for accession, runs in ("SRP001", 2), ("SRP002", 3), ("SRP003", 1):
        for value in "TPM", "counts":
            table = (folder / f"results/{accession}.{value}.tsv").read_text().splitlines()
            assert len(table) == 15
            assert {line.count("\t") for line in table} == {runs}
    assert len((folder / "results/rates.csv").read_text().splitlines()) == 7
    assert "rnaseq: 6 items (6 done)" in rest
    assert "  volume   A0001 of tape" in rest
    assert "data/SRP001/r2/convert.r1/r2_1.fastq.gz" in rest
    sent = {
        path.relative_to(folder / "server_b/data") for path in folder.glob("server_b/data/**/*.gz")
    }
    here = {path.relative_to(folder / "local") for path in folder.glob("local/**/*.gz")}
    assert len(sent) == 12
    assert here < sent, "what is on tape and on server B is not kept here"
    assert "nothing left to do" in (folder / "messages.txt").read_text()
