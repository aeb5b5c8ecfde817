"""The process that calls a pipeline's `extract` function: paths in, a line of JSON out for each.

Run as `python -m stoker.intake.extract_process MODULE:FUNCTION` in the pipeline's folder. What the
function prints goes to standard error. It ends when its input does.
"""

import importlib
import json
import os
import sys
from typing import Any


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    module, _, name = sys.argv[1].partition(":")
    function: Any = None

    def tell(answer: dict[str, str]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    for line in sys.stdin:
        try:
            if function is None:
                function = getattr(importlib.import_module(module), name)
            found = json.dumps(function(json.loads(line)))
        except BaseException as error:
            tell({"error": f"{type(error).__name__}: {error}"})
            raise  # its author finds the traceback in the log; the next file gets a new process
        tell({"value": found})


if __name__ == "__main__":
    main()
