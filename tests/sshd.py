"""A real sshd on the loopback, with its own keys: what tests of transfers and visits go over."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self

import servers

IS_THERE = bool(Path("/usr/sbin/sshd").exists() and shutil.which("ssh"))


def require() -> None:
    """Skip the test, in CI fail it, where no sshd can be started."""
    if not IS_THERE:
        servers.unavailable("openssh-server is not installed; `requirements/servers` does it")


class Sshd:
    """One sshd, for as long as the block lasts. `config` is for `ssh -F`; its host is `site`.

    What is run there also has the variables of `env`. It may be at one of two places, and who calls it
    at the other: then `server` and `client` are the words that run a command there. Everybody who
    connects is shown the `banner`.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str] = MappingProxyType({}),
        *,
        address: str = "127.0.0.1",
        server: Sequence[str] = (),
        client: Sequence[str] = (),
        banner: str = "",
    ) -> None:
        require()
        self.folder = folder
        # What the account's own shell does at a login is nothing that tests should depend on.
        self.env = {"HOME": str(folder / "home")} | dict(env)
        self.address = address
        self._server, self._client, self._banner = server, client, banner
        self.config = folder / "config"
        self.daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        folder = self.folder
        folder.chmod(0o700)
        (folder / "home").mkdir()
        Path("/run/sshd").mkdir(exist_ok=True)
        for name in ("host", "id"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
            )
        (folder / "authorized_keys").write_bytes((folder / "id.pub").read_bytes())
        port = servers.free_port()
        (folder / "banner").write_text(f"{self._banner}\n")
        variables = " ".join(f'"{name}={value}"' for name, value in self.env.items())
        (folder / "sshd_config").write_text(
            f"Port {port}\nListenAddress {self.address}\nHostKey {folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            f"MaxStartups 100\nBanner {folder / 'banner' if self._banner else 'none'}\n"
            "Subsystem sftp internal-sftp\n"
            f"SetEnv {variables}\n"  # of several such lines, sshd heeds the first
        )
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[{self.address}]:{port} {key}\n")
        self.config.write_text(
            f"Host *\nHostName {self.address}\nPort {port}\nIdentitiesOnly yes\n"
            f"UserKnownHostsFile {folder}/known_hosts\nIdentityFile {folder}/id\n"
        )
        with (folder / "log").open("wb") as log:
            self.daemon = subprocess.Popen(
                [*self._server, "/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"],
                stderr=log,
            )
        until = time.monotonic() + 30
        call = [*self._client, "ssh", "-F", self.config, "site", "true"]
        while subprocess.run(call, check=False, stderr=subprocess.DEVNULL).returncode:
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGKILL)
        self.daemon.terminate()
        self.daemon.wait(timeout=10)

    @property
    def command(self) -> str:
        """What to use in place of `ssh`."""
        return f"ssh -F {self.config}"

    def sessions(self) -> Iterator[int]:
        """Yield the processes that serve connections just now."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.daemon.pid:
                    yield int(path.parent.name)

    def signal(self, number: signal.Signals) -> int:
        """Every session gets the signal; return how many there were."""
        found = list(self.sessions())
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(found)
