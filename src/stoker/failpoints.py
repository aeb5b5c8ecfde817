"""Named points at which a test can make the process die, stall or fail.

`hit("name")` does nothing unless the environment variable `STOKER_FAILPOINTS` armed that name when
the process started. Tests arm it as `name=action`, several separated by commas, where the action is
one of

- `kill`: the process ends at once by SIGKILL, as after a power cut;
- `stop`: the process stops by SIGSTOP until someone continues it;
- `raise`: an `OSError` with `ENOSPC` is raised, as on a full disk;
- `hang`: the thread says so on standard error and waits for ever, as for a dead file server.

`name=action@3` acts on the third hit only. Nothing outside tests sets the variable.
"""

import errno
import os
import signal

VARIABLE = "STOKER_FAILPOINTS"
_ACTIONS = ("kill", "stop", "raise", "hang")


def parse(text: str) -> dict[str, tuple[str, int]]:
    """Return `{name: (action, on which hit)}` for the variable's text; empty for the empty text."""
    armed: dict[str, tuple[str, int]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = entry.partition("=")
        action, _, count = action.partition("@")
        if action not in _ACTIONS:
            raise ValueError(f"failpoint `{entry}`: the action is one of {', '.join(_ACTIONS)}")
        armed[name] = (action, int(count or 1))
    return armed


_armed = parse(os.environ.get(VARIABLE, ""))
_hits: dict[str, int] = {}


def hit(name: str) -> None:
    """Act as armed for `name`; without arms, return at once."""
    if _armed:
        _act(name)


def _act(name: str) -> None:
    if name not in _armed:
        return
    action, on_hit = _armed[name]
    _hits[name] = _hits.get(name, 0) + 1
    if _hits[name] != on_hit:
        return
    if action == "raise":
        raise OSError(errno.ENOSPC, f"failpoint `{name}`")
    if action == "hang":
        os.write(2, f"failpoint `{name}` hangs\n".encode())
        os.read(os.pipe()[0], 1)
    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
