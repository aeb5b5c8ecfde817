"""What to do about failures that every laboratory meets, where a step's `causes` do not say it.

A pure function of what an attempt's end was called. Each remedy is one sentence that a person can
act upon; what is not recognised with certainty has none.
"""

import re

_KILLED = re.compile(r"killed by signal (SIG\w+|\d+)")
_EXIT = re.compile(r"exit code (\d+)")
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE")
_PROGRAM = (
    "install {name} on the workers' hosts, load its module in `prepare`, or write its whole path "
    "(`{{project}}/…` for one of the project's own)"
)
_MODULE = (
    "install {name} in the environment that the step uses, or activate that environment in "
    "`prepare` (for a `python` step: `interpreter`)"
)
_RIGHTS = (
    "give the worker's account the right to that path; a script needs `chmod +x`, or its "
    "interpreter before it"
)
_FULL = "make room there; `stoker doctor` shows the disks"
_NO_FILE = (
    "a step starts in an empty folder of its own: write `{{project}}/NAME` for a file beside "
    "`stoker.toml`, `{{item}}` or `{{in.STEP.NAME}}` for data"
)
_NOT_MADE = (
    "compare the path to which the command writes with `{{out.{name}}}`, or set `optional = true` "
    "if it may be missing"
)
_TIME = "raise the step's `timeout` if it needs longer; `stoker logs` shows how far it came"
_MEMORY = 'raise the step\'s `memory`; with a list as `["4G", "16G"]` and `retries` it gets more each time'
_PATTERNS = (
    (re.compile(r"(?P<name>[^\s:]+): command not found"), _PROGRAM),
    (re.compile(r"^`(?P<name>[^`/]+)` could not be started: No such file"), _PROGRAM),
    (
        re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?(?P<name>[\w.]+)"),
        _MODULE,
    ),
    (re.compile(r"there is no package called \W(?P<name>[\w.]+)"), _MODULE),  # R
    (re.compile(r"[Pp]ermission denied"), _RIGHTS),
    (re.compile(r"No space left on device|Disk quota exceeded"), _FULL),
    (re.compile(r"No such file or directory|can't open file"), _NO_FILE),
    (re.compile(r"^output `(?P<name>[^`]+)` was not made"), _NOT_MADE),
    (re.compile(r"^time limit reached"), _TIME),
    (re.compile(r"^memory limit reached"), _MEMORY),
)


def advice(cause: str, reason: str | None) -> str | None:
    """Return what to do about a failure, by its cause and one of its reasons; None if unknown."""
    for text in (reason or "", cause):
        for pattern, remedy in _PATTERNS:
            found = pattern.search(text)
            if found is not None:
                return remedy.format(name=_named(found))
    return _by_end(reason or cause)


def _named(found: re.Match[str]) -> str:
    name = found.groupdict().get("name", "")
    return name if found.re.pattern.startswith("^output") else f"`{name}`"


def _by_end(text: str) -> str | None:
    """Return what to do where nothing but the way of the end is known."""
    killed = _KILLED.match(text)
    if killed is not None:
        if killed[1] == "SIGKILL":
            return (
                "something killed it from outside, often the kernel when memory ran out: look at "
                "`dmesg`, and give the step a `memory`"
            )
        if killed[1] in _FAULTS:
            return "the program itself is at fault: `stoker shell KEY STEP` starts it by hand"
        return None
    ended = _EXIT.fullmatch(text)
    if ended is None:
        return None
    if ended[1] == "1":
        return (
            "the command said nothing: `grep` and `diff` exit with 1 when they find nothing or a "
            "difference (then write `|| true`, or `exits`); `stoker shell KEY STEP` starts it by hand"
        )
    return "the command said nothing; `stoker shell KEY STEP` starts it by hand"
