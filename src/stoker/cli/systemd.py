"""A unit for systemd that runs the service as it was asked for, with no more rights than it needs."""

import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_UNIT = """\
# Made by `stoker up --systemd`. Write it to /etc/systemd/system/{name}.service, then:
#   systemctl daemon-reload && systemctl enable --now {name}
[Unit]
Description=Stoker: {title}
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
User={user}
WorkingDirectory={folder}
ExecStart={command}
Restart=on-failure
RestartSec=5
# The service stops its attempts in order; what they leave is killed by it, and then by systemd.
KillMode=mixed
TimeoutStopSec=60
UMask={umask}
LimitNOFILE=65536
# Attempts get cgroups of their own below this unit, and one that needs too much memory ends alone.
Delegate=yes
OOMPolicy=continue
# Steps publish wherever this account may write, but never into the system.
NoNewPrivileges=yes
ProtectSystem=full
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=
AmbientCapabilities=

[Install]
WantedBy=multi-user.target
"""


def unit(file: Path, title: str, options: Sequence[str], *, is_shared: bool) -> str:
    """Return the unit that serves the project at `file` with these options of `stoker up`."""
    stoker = str(Path(sys.executable).with_name("stoker"))
    program = [stoker, "--project", str(file), "up", *options]
    safe = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in title)
    return _UNIT.format(
        name=f"stoker-{safe.strip('-') or 'project'}",
        title=_plain(title),
        user=getpass.getuser(),
        folder=_path(os.path.dirname(file)),
        command=" ".join(map(_word, program)),
        umask="0007" if is_shared else "0077",
    )


def _word(word: str) -> str:
    """Return a word of a command as systemd reads it: no expansion, no splitting."""
    escaped = _plain(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if not word or set(escaped) & set(" \"'\\;") else escaped


def _path(path: str) -> str:
    """Return a path as a setting takes it: the whole rest of the line."""
    return _plain(path)


def _plain(text: str) -> str:
    """Return the text on one line, without specifiers of systemd's."""
    return " ".join(text.splitlines()).replace("%", "%%")
