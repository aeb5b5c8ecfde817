"""Running a batch system's command: words that no shell reads, plain locale, bounded in every way."""

import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from stoker.errors import Unavailable
from stoker.model.words import shown

LIMIT_S = 60.0
MOST_BYTES = 32 * 1024 * 1024  # of an answer: far more than the list of 10,000 jobs
_LINGER_S = 1.0  # that the output of a process may be open after its end
_SHOWN = 300  # characters of what a command says that are repeated

# The service may itself run in a job, whose variables would reach the pilots' submission.
_OF_JOBS = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SALLOC_", "SRUN_", "PBS_", "SGE_", "LSB_", "LSF_", "PMI")  # fmt: skip
_OF_JOBS_ALONE = frozenset(
    ("JOB_ID", "JOB_NAME", "JOB_SCRIPT", "TASK_ID", "NSLOTS", "NHOSTS", "NQUEUES", "PE", "PE_HOSTFILE",
     "QUEUE", "REQUEST", "RESTARTED", "ENVIRONMENT")
)  # fmt: skip
_OF_CLIENTS = frozenset(
    ("SLURM_CONF", "SLURM_CONF_SERVER", "SGE_ROOT", "SGE_CELL", "SGE_CLUSTER_NAME", "SGE_QMASTER_PORT",
     "SGE_EXECD_PORT", "PBS_CONF_FILE", "PBS_EXEC", "PBS_SERVER", "LSF_ENVDIR", "LSF_SERVERDIR",
     "LSF_BINDIR", "LSF_LIBDIR")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said, and the status with which it ended."""

    status: int
    out: str
    error: str

    @property
    def words(self) -> str:
        """The last words of standard error, or else of standard output, on one line."""
        return last_words(self.error) or last_words(self.out) or f"exit status {self.status}"


def last_words(text: str, most: int = _SHOWN) -> str:
    """Return the last lines of a text that are not empty, joined, as far as there is room for them."""
    lines = [shown(" ".join(line.split())) for line in text.splitlines() if line.strip()]
    found = ""
    for line in reversed(lines[-5:]):
        longer = f"{line}; {found}" if found else line
        if len(longer) > most and found:
            break
        found = longer
    return found[-most:]


def environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a batch system's commands: no variable of a job, no secret format."""
    kept = {
        name: value
        for name, value in given.items()
        if name in _OF_CLIENTS or (not name.startswith(_OF_JOBS) and name not in _OF_JOBS_ALONE)
    }
    for name in [name for name in kept if name == "LANGUAGE" or name.startswith("LC_")]:
        del kept[name]
    return kept | {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}


class Runner:
    """Runs commands here or, with `ssh`, on that host; `cwd` is where those here begin."""

    def __init__(
        self, *, ssh: str | None = None, cwd: str | None = None, limit_s: float | None = None
    ) -> None:
        self.ssh = ssh
        self._cwd = cwd
        self._limit_s = LIMIT_S if limit_s is None else limit_s

    def run(self, words: Sequence[str], *, stdin: str = "") -> Said:
        """Return what the command said; Unavailable if it did not come to its end in time."""
        command, env = list(words), environment()
        if self.ssh is not None:
            far = ["env", "LC_ALL=C", "SLURM_TIME_FORMAT=standard", *words]
            command = [
                "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR", "-T", "--", self.ssh,
                shlex.join(far),
            ]  # fmt: skip
        name = words[0].rpartition("/")[2]
        try:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=self._cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"`{command[0]}` cannot be run: {error.strerror}") from None
        try:
            out, err = _converse(process, stdin.encode(), time.monotonic() + self._limit_s)
        except TimeoutError:
            raise Unavailable(f"`{name}` did not answer within {self._limit_s:.0f} s") from None
        except OverflowError:
            raise Unavailable(f"`{name}` says more than {MOST_BYTES >> 20} MiB") from None
        finally:
            _end(process)
        said = Said(
            process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
        )
        if self.ssh is not None and said.status == 255:  # the connection's own
            raise Unavailable(f"`ssh {self.ssh}`: {said.words}")
        return said


def _converse(
    process: "subprocess.Popen[bytes]", given: bytes, until_s: float
) -> tuple[bytes, bytes]:
    """Return standard output and error once the process has ended, and both are closed.

    What it leaves behind, as a connection that `ssh` keeps open, may hold them for long, and is
    waited for no more than a moment.
    """
    assert process.stdin is not None  # noqa: S101 - pipes, as asked for
    assert process.stdout is not None  # noqa: S101 - as above
    assert process.stderr is not None  # noqa: S101 - as above
    heard: dict[Any, bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe in heard:
            selector.register(pipe, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        for wait_s in _waits(process, until_s):
            if not selector.get_map():
                break
            for key, _ in selector.select(wait_s):
                if key.fileobj is process.stdin:
                    given = _write(process.stdin, given)
                    if not given:
                        selector.unregister(process.stdin)
                        _close(process.stdin)
                    continue
                piece = os.read(key.fd, 65_536)
                heard[key.fileobj] += piece
                if not piece:
                    selector.unregister(key.fileobj)
                if len(heard[key.fileobj]) > MOST_BYTES:
                    raise OverflowError
    try:
        process.wait(max(until_s - time.monotonic(), 0.01))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    return bytes(heard[process.stdout]), bytes(heard[process.stderr])


def _waits(process: "subprocess.Popen[bytes]", until_s: float) -> Iterator[float]:
    """Yield how long to wait for more, until the process has been over for a moment."""
    ended_s: float | None = None
    while ended_s is None or time.monotonic() - ended_s < _LINGER_S:
        if ended_s is None and process.poll() is not None:
            ended_s = time.monotonic()
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        yield min(left_s, _LINGER_S)


def _write(pipe: IO[bytes], given: bytes) -> bytes:
    """Return what is left to be written; nothing if the other end reads no more."""
    try:
        return given[os.write(pipe.fileno(), given) :] if given else b""
    except BlockingIOError:
        return given
    except BrokenPipeError:
        return b""


def _close(pipe: IO[bytes]) -> None:
    with suppress(OSError):
        pipe.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of the command is left, and no descriptor."""
    if process.poll() is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            _close(pipe)
