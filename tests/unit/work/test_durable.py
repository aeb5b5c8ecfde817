"""How files are brought to the disk."""

import os
import threading

from stoker.work.durable import sync_all
from stoker.work.permit import no_limit


def test_many_files_are_synced_beside_each_other(tmp_path, monkeypatch):
    """One after the other, each would wait for a turn of the disk of its own."""
    beside = threading.Barrier(2)  # broken, with an error here, where nobody comes second
    monkeypatch.setattr(os, "fsync", lambda _: beside.wait(30))
    files = [tmp_path / f"{n}" for n in range(12)]
    for file in files:
        file.write_text("x")
    sync_all([str(file) for file in files], no_limit)
