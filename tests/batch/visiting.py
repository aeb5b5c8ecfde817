"""A process that visits the batch systems of a project again and again, as the service does it.

`python tests/batch/visiting.py FOLDER` ends with SIGTERM. Nothing that it meets ends it before.
"""

import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from batch.piloted import QUICK
from stoker import open as open_project
from stoker.errors import StokerError
from stoker.project.services.janitor import tidy_once
from stoker.project.verbs.batch import Batch

# Pilots that die before they have done anything are nothing special here.
MANNERS = replace(QUICK, most_failed=10_000, most_refused=10_000)


def main() -> None:
    """Visit until somebody ends it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        try:
            with open_project(sys.argv[1]) as project:
                batch = Batch(project, MANNERS)
                while True:
                    tidy_once(project.store)
                    batch.visit()
                    time.sleep(0.3)
        except StokerError as error:
            print(f"{time.time():.1f} {error}", flush=True)
            time.sleep(0.3)


if __name__ == "__main__":
    main()
