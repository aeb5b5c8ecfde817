"""A process that visits the outposts of a project again and again, as the service does it.

`python visiting.py FOLDER` goes on until it is killed. Nothing that it meets ends it before.
"""

import sys
import time

from stoker import open as open_project
from stoker.errors import StokerError


def main() -> None:
    """Visit until somebody ends it."""
    while True:
        try:
            with open_project(sys.argv[1]) as project:
                while True:
                    for name in project.sites.status():
                        project.sites.visit(name)
                    time.sleep(0.2)
        except StokerError as error:
            print(f"{time.time():.1f} {error}", flush=True)
            time.sleep(0.2)


if __name__ == "__main__":
    main()
