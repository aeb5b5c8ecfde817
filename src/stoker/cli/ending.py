"""How a command ends: errors become messages on standard error, and exit codes."""

import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from stoker.errors import Bug, SpecError, StokerError, Unavailable

EXIT_FAILED = 1  # the command worked, and tasks failed or are left, or items are in quarantine
EXIT_INTERRUPTED = 130
EXIT_SYSTEM = 5
_BUG_REPORT = "this is a bug in Stoker; please report it with what follows"


class ReaderGone(Exception):
    """Who read what the command prints has enough, as `head` has: an end like any other."""


def let_second_interrupt_kill() -> None:
    """The first Ctrl-C interrupts this process in order; a second one ends it, whatever holds it.

    Python takes a signal only between two steps of its own, so it cannot act while a call hangs in
    the kernel or in a library. The kernel can: it goes back to the default action after the first
    signal, as signals did on System V.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    system_v = getattr(libc, "sysv_signal", None)  # of glibc
    if system_v is None or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    for function in (libc.signal, system_v):
        function.restype, function.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    pythons_own = libc.signal(signal.SIGINT, None)
    system_v(signal.SIGINT, pythons_own)


def answered(call: Callable[[], Any], *, has_said: bool = False) -> int:
    """Return the exit code of a command, whose output is written out. No error leaves this.

    With `has_said`, it is known already that the store does not answer, and not said again.
    """
    try:
        code = _told(call, has_said=has_said)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone) as error:
        if not (_has_no_reader(1) or _has_no_reader(2)):
            own = error.__cause__ or error  # another pipe broke than that of the output
            click.echo(f"stoker: the system refused: {own}", err=True)
            return EXIT_SYSTEM
        # Who read us has enough. What is still buffered must not fail at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    return code


def _has_no_reader(descriptor: int) -> bool:
    """Whether what is written there reaches nobody any more."""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _told(call: Callable[[], Any], *, has_said: bool) -> int:  # noqa: PLR0911 - one for each end
    try:
        result = call()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stoker: interrupted", err=True)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        raise
    except Bug as error:
        return _bug(error)
    except Unavailable as error:
        return error.exit_code if has_said else _tell(error)
    except StokerError as error:
        return _tell(error)
    except OSError as error:
        click.echo(f"stoker: {_of_system(error)}", err=True)
        return EXIT_SYSTEM
    except Exception as error:  # noqa: BLE001 - the outermost frame: whatever is left is a bug
        return _bug(error)
    return result if isinstance(result, int) else 0


def _tell(error: StokerError) -> int:
    click.echo(f"stoker: {error}", err=True)
    if isinstance(error, SpecError):
        for problem in error.problems:
            click.echo(f"  {problem}", err=True)
    return error.exit_code


def _of_system(error: OSError) -> str:
    """Return what the system said, with the path it is about."""
    what = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"the system refused: {what}"
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"`{name}`: {what}"


def _bug(error: BaseException) -> int:
    import traceback

    click.echo(f"stoker: {type(error).__name__}: {error}\n{_BUG_REPORT}\n", err=True)
    click.echo("".join(traceback.format_exception(error)), err=True)
    return Bug.exit_code
