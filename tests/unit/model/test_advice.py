"""Advice on ordinary failures: recognised where it is certain, and nothing otherwise."""

import pytest

from stoker.model.advice import advice


@pytest.mark.parametrize(
    ("cause", "reason", "said"),
    [
        ("blastx: command not found", "exit code 127: blastx: command not found", "install `blastx`"),
        ("`…` could not be started: No such file or directory",
         "`blastx2` could not be started: No such file or directory", "install `blastx2`"),
        ("`…` could not be started: No such file or directory",
         "`./a.sh` could not be started: No such file or directory", "{project}/NAME"),
        ("cat: …: No such file or directory", "exit code 1: cat: a: No such file or directory",
         "{project}/NAME"),
        ("ModuleNotFoundError: No module named 'a.b'", None, "install `a.b` in the environment"),
        ("Error in library(abc) : there is no package called 'abc'", None, "install `abc`"),
        ("…: Permission denied", "exit code 126: x: Permission denied", "chmod +x"),
        ("dd: error writing '…': No space left on device", None, "make room there"),
        ("output `x` was not made (`…`)", "output `x` was not made (`/s/out/x`)", "`{out.x}`"),
        ("time limit reached", "it ran into its time limit of 1 s", "raise the step's `timeout`"),
        ("memory limit reached", "it took 74 MiB of memory and has 60 MiB", "raise the step's `memory`"),
        ("exit code 1", "exit code 1", "`grep` and `diff` exit with 1"),
        ("exit code 3", "exit code 3", "the command said nothing; `stoker shell KEY STEP`"),
        ("killed by signal SIGKILL", "killed by signal SIGKILL", "`dmesg`"),
        ("killed by signal SIGSEGV", "killed by signal SIGSEGV", "the program itself is at fault"),
    ],
)  # fmt: skip
def test_an_ordinary_failure_has_a_remedy(cause, reason, said):
    assert said in (advice(cause, reason) or "")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("no license", "exit code 1: no license"),
        ("cannot bind Port_… of r…", "exit code 2: cannot bind Port_86 of r1"),
        ("killed by signal SIGTERM", "killed by signal SIGTERM"),
        ("exit code 1: odd", None),
        ("", None),
    ],
)
def test_what_is_not_known_has_none(cause, reason):
    assert advice(cause, reason) is None
