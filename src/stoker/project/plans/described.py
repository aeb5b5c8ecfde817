"""A fleet in words: so many hosts with so many slots, or a file with a line for each."""

import re
from collections.abc import Sequence

from stoker.errors import NotFound, UserError
from stoker.model.simulate import Host
from stoker.spec.quantities import parse_size

_FLEET = re.compile(r"(?:(\d+)x)?(\d+)")
_SPEED = re.compile(r"[\d.]+(?:e[+-]?\d+)?")
_MEMORY = re.compile(r"[\d.]+[KMGT]")
_TAG = re.compile(r"[a-z][a-z0-9_]*")


LINE = "NAME SLOTS [SPEED] [MEMORY] [TAG…]"


def fleet_from(text: str) -> tuple[list[str], tuple[Host, ...]]:
    """Return the hosts that `240x16`, `16`, or a file with a line (`LINE`) for each describe.

    Where no line names memory, or tags, hosts have as much of it as is needed; else a line without
    any names a host that has none.
    """
    found = _FLEET.fullmatch(text)
    if found:
        n, slots = int(found[1] or 1), int(found[2])
        if not 0 < n * slots <= 1_000_000:
            raise UserError(
                f"`{text}` is not a fleet: it needs at least one slot, at most a million"
            )
        return [f"host-{at + 1}" for at in range(n)], (Host(slots),) * n
    names: list[str] = []
    hosts: list[Host] = []
    for number, words in enumerate(_lines(text), start=1):
        if words:
            names.append(words[0])
            hosts.append(_host(words, f"line {number} of `{text}`"))
    if not hosts:
        raise UserError(f"`{text}` names no host; a line is `{LINE}`")
    if any(host.memory_bytes is not None for host in hosts):
        hosts = [host._replace(memory_bytes=host.memory_bytes or 0) for host in hosts]
    if any(host.tags is not None for host in hosts):
        hosts = [host._replace(tags=host.tags or frozenset()) for host in hosts]
    return names, tuple(hosts)


def _lines(path: str) -> list[list[str]]:
    """Return the words of each line, without remarks."""
    try:
        with open(path, encoding="utf-8") as file:
            return [line.partition("#")[0].split() for line in file]
    except FileNotFoundError:
        raise NotFound(
            f"`{path}` is neither hosts and slots, as `240x16`, nor a file that describes them"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"`{path}` cannot be read as a list of hosts: {error}") from None


def _host(words: Sequence[str], where: str) -> Host:
    """Return the host of a line: after its slots come a speed, a size and names, as far as they do."""
    wrong = UserError(f"{where} is not `{LINE}`, as `node17 16 1.5 64G matlab`")
    rest = list(words[1:])
    try:
        slots = int(rest.pop(0))
        speed = float(rest.pop(0)) if rest and _SPEED.fullmatch(rest[0]) else 1.0
        memory = parse_size(rest.pop(0)) if rest and _MEMORY.fullmatch(rest[0]) else None
    except (IndexError, ValueError):
        raise wrong from None
    if not (slots > 0 and 0 < speed < 1e6 and all(map(_TAG.fullmatch, rest))):
        raise wrong
    return Host(slots, speed, memory, frozenset(rest) if rest else None)
