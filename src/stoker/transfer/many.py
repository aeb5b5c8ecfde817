"""Owns sending many files together: four commands over ssh for thousands of files, however small.

One command looks at the targets, one rsync copies all missing files into a hidden folder in the target
folder, one command reads their checksums back, and one gives them their names, in place of nothing. A
file for which that is not enough is left to `copy`, which does it alone and knows every reason.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stoker.errors import Conflict, NotFound, Refused, StokerError
from stoker.failpoints import hit
from stoker.transfer import contents
from stoker.transfer.contents import Contents
from stoker.transfer.copy import limit_s
from stoker.transfer.places import Place, absolute
from stoker.transfer.shell import NoShell, Shell, number

_MOST_FILES = 4_000  # of a batch, as are the next two
_MOST_NAMES = 1 << 20  # bytes
_MOST_BYTES = 4 << 30
_EACH_S = 0.1  # for a file, besides its size

# Every command enters the target folder first. The names come NUL-separated on standard input, each with
# `./` before it; `xargs` hands them to `$each`, never to a line that a shell reads.
ENTER = """
case $target in "~/"*) target=$HOME/${target#"~/"};; esac
case $target in /*) ;; *) target=$(pwd -P)/$target;; esac
path() { printf '%s path ' "$word"; printf %s "$1" | od -An -v -tx1 | tr -d ' \\n'; echo; }
if [ ! -d "$target" ]; then
  [ "$make" = yes ] || { path "$target"; say absent; say end; exit 0; }
  mkdir -p "$target" 2>/dev/null
fi
cd "$target" 2>/dev/null && [ ! -L "$parts" ] || { say closed; say end; exit 0; }
command -v rsync >/dev/null 2>&1 || { say lacks rsync; exit 0; }
export word make parts
"""

_LOOK = """
path "$(pwd -P)"
each='
last=; may=no
for name do
  kind=
  if [ -d "$name" ]; then kind=folder
  elif [ -f "$name" ]; then
    kind=file # placed by a run that was broken off before it deleted the other name
    [ -d "$parts" ] && [ "$parts/$name" -ef "$name" ] && rm -f -- "$parts/$name"
  elif [ -e "$name" ] || [ -L "$name" ]; then kind=other
  elif [ "$make" = yes ]; then
    if [ "${name%/*}" != "$last" ]; then
      last=${name%/*}; may=yes
      [ -d "$last" ] || mkdir -p -- "$last" 2>/dev/null
      [ -w "$last" ] && [ -x "$last" ] || may=no
    fi
    [ $may = yes ] || kind=denied
    [ -d "$parts" ] || mkdir -m 700 -- "$parts" 2>/dev/null || kind=alone
  fi
  [ -z "$kind" ] || printf "%s %s %s\\n" "$word" "$kind" "$name"
done
printf "%s did %s\\n" "$word" $#'
xargs -0 sh -c "$each" sh
[ ! -d "$parts" ] || say left
"""

SUMS = """
if [ "$durable" = yes ]; then
  cd "$parts" 2>/dev/null || { say end; exit 0; }
  { sync -f . 2>/dev/null || sync; } >/dev/null 2>&1 & # while they are read back
fi
set -- sha256 -r
if [ $quick = yes ]; then set -- openssl dgst -sha256 -r
elif [ $one = sha256sum ]; then set -- sha256sum
elif [ $one = shasum ]; then set -- shasum -a 256
fi
xargs -0 "$@" 2>/dev/null | sed "s/^/$word sum /"
wait
"""

_TIDY = """
[ ! -d "$parts" ] || find "$parts" -depth -type d -exec rmdir -- {} + 2>/dev/null
"""

# All names in a folder are given by one `ln`, which replaces nothing. `$list` holds no name, only the
# numbers of the words: `"$parts/${1}" "$parts/${2}"`.
_PLACE = (
    """
each='
i=0; list=; last=
for name do
  if [ "${name%/*}" != "$last" ]; then
    [ -z "$list" ] || eval "ln -- $list \\"\\$last/\\"" 2>/dev/null
    list=; last=${name%/*}
  fi
  i=$((i + 1)); list="$list \\"\\$parts/\\${$i}\\""
done
[ -z "$list" ] || eval "ln -- $list \\"\\$last/\\"" 2>/dev/null
i=0; list=
for name do
  i=$((i + 1)); list="$list \\"\\$parts/\\${$i}\\""
  [ "$parts/$name" -ef "$name" ] && printf "%s placed %s\\n" "$word" "$name"
done
[ -z "$list" ] || eval "rm -f -- $list"'
xargs -0 -n 500 sh -c "$each" sh
"""
    + _TIDY
)

_DROP = (
    """
each='for name do rm -f -- "$parts/$name"; done'
xargs -0 sh -c "$each" sh
"""
    + _TIDY
)


@dataclass(slots=True)
class Sent:
    """What has become of a batch: names that have arrived, errors, and names to be copied alone.

    `path` is the target folder, absolute; None if it could not be entered.
    """

    path: str | None = None
    new: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: dict[str, StokerError] = field(default_factory=dict)
    alone: list[str] = field(default_factory=list)
    size_bytes: int = 0


def is_plain(name: str) -> bool:
    """Whether a name can be one of many: it is one line in every answer, and its own shortest form."""
    return not any(one in name for one in "\n\r\\") and os.path.normpath(name) == name


def name_of_parts(host: str, folder: str) -> str:
    """Return the hidden folder, in the target folder, of what is not whole yet of that source folder."""
    own = hashlib.sha256(os.fsencode(f"{host}\0{folder}")).hexdigest()
    return f".stoker-{own[:16]}.parts"


def batches(names: Iterable[str], size_of: Callable[[str], int]) -> Iterator[list[str]]:
    """Yield the names in lists that are bounded by number, length, and the sizes of their files."""
    batch: list[str] = []
    length = size_bytes = 0
    for name in names:
        size_bytes += size_of(name)
        length += len(name)
        batch.append(name)
        if len(batch) >= _MOST_FILES or length > _MOST_NAMES or size_bytes > _MOST_BYTES:
            yield batch
            batch, length, size_bytes = [], 0, 0
    if batch:
        yield batch


class Sending:
    """From a folder here to a folder on a host."""

    def __init__(self, source: Place, target: Place, shell: Shell, *, dry_run: bool) -> None:
        self._folder = absolute(source.path.rstrip("/") or "/")
        self._target = target
        self._shell = shell
        self.host = target.name
        self._dry_run = dry_run
        self._parts = "./" + name_of_parts(os.uname().nodename, self._folder)

    def copy(self, names: Sequence[str]) -> Sent:
        """The files have arrived, except those in `failed` and `alone`.

        A whole batch that cannot be sent is an error: Unavailable, Refused, NotFound. What has come
        until then is kept, hidden, and the next call goes on there.
        """
        sent = Sent()
        wanted, stamps = self._read(names, sent)
        if not wanted:
            return sent
        try:
            missing = self._look(wanted, sent)
            if missing and not self._dry_run:
                self._copy(missing, wanted, sent)
            elif missing:
                sent.new += missing
        except NoShell:
            sent.alone = [
                name for name in wanted if name not in {*sent.new, *sent.there, *sent.failed}
            ]
        for name in sent.new:
            if self._has_changed(name, stamps[name]):
                sent.failed[name] = Conflict(
                    f"`{self._here(name)}` changed while it was copied; `{self._shown(sent, name)}` "
                    "has it as it was before"
                )
        sent.new = [name for name in sent.new if name not in sent.failed]
        sent.size_bytes = sum(wanted[name].size_bytes for name in sent.new + sent.there)
        return sent

    def size_of(self, name: str) -> int:
        """Return the size of a file; 0 if that is not to be had, which is reported when it is read."""
        try:
            return os.stat(self._here(name)).st_size
        except OSError:
            return 0

    def _here(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _shown(self, sent: Sent, name: str) -> str:
        return f"{self._target.name}:{os.path.join(sent.path or self._target.path, name)}"

    def _read(
        self, names: Sequence[str], sent: Sent
    ) -> tuple[dict[str, Contents], dict[str, tuple[int, ...]]]:
        """Return what the files here hold, and how they were; those without content have failed."""
        wanted, stamps = {}, {}
        for name in names:
            path = self._here(name)
            try:
                stamps[name] = contents.stamp(path)
                wanted[name] = contents.read(path)
            except FileNotFoundError:
                sent.failed[name] = NotFound(f"there is no file `{path}`")
            except OSError as error:
                sent.failed[name] = Refused(f"`{path}` cannot be looked at: {error.strerror}")
            except StokerError as error:
                sent.failed[name] = error
        return wanted, stamps

    def _has_changed(self, name: str, before: tuple[int, ...]) -> bool:
        try:
            return contents.stamp(self._here(name)) != before
        except OSError:
            return True

    def _ask(
        self, script: str, names: Iterable[str], wanted: Mapping[str, Contents], *, durable: bool = False
    ) -> list[tuple[str, str]]:  # fmt: skip
        words = {
            "target": self._target.path,
            "parts": self._parts,
            "make": "no" if self._dry_run else "yes",
            "durable": "yes" if durable else "no",
        }
        return self._shell.ask_many(
            ENTER + script, words, [f"./{name}" for name in names], timeout_s=limit_of(wanted)
        )

    def _look(self, wanted: Mapping[str, Contents], sent: Sent) -> list[str]:
        """Return the names that are not there yet."""
        said = self._ask(_LOOK, wanted, wanted)
        for path in (value for word, value in said if word == "path"):
            sent.path = self._shell.path_of(path)
        if ("absent", "") in said:
            return list(wanted)
        done = sum(number(value) for word, value in said if word == "did")
        if ("closed", "") in said or done != len(
            wanted
        ):  # no such folder, or an `xargs` without -0
            sent.alone += wanted
            return []
        kinds = {value[2:]: word for word, value in said if value.startswith("./")}
        missing = [name for name in wanted if name not in kinds]
        self._compare([name for name in kinds if kinds[name] == "file"], wanted, sent)
        for name, kind in kinds.items():
            shown = self._shown(sent, name)
            if kind == "denied":
                sent.failed[name] = Refused(f"`{shown}` may not be written by this account")
            elif kind == "folder":
                sent.failed[name] = Conflict(f"`{shown}` is a folder; it stays")
            elif kind != "file":
                sent.alone.append(name)
        if not missing and ("left", "") in said and not self._dry_run:
            self._ask(_DROP, (), {})
        return missing

    def _compare(self, files: Sequence[str], wanted: Mapping[str, Contents], sent: Sent) -> None:
        """Files of these names are there already: those with the same content have arrived."""
        sums = self._sums(files, wanted) if files else {}
        for name in files:
            if name not in sums:
                sent.alone.append(name)
            elif sums[name] == wanted[name].sha256:
                sent.there.append(name)
            else:
                shown = self._shown(sent, name)
                sent.failed[name] = Conflict(f"`{shown}` is there with other content; it stays")

    def _sums(
        self, names: Sequence[str], wanted: Mapping[str, Contents], *, durable: bool = False
    ) -> dict[str, str]:
        """Return the SHA-256 of those that can be read; of the copies, on the disk by then, if `durable`."""
        sums = {}
        for word, value in self._ask(SUMS, names, wanted, durable=durable):
            digest, dot, name = value.partition("./")
            if word == "sum" and dot:
                sums[name] = digest.rstrip(" *")
        return sums

    def _copy(self, missing: Sequence[str], wanted: Mapping[str, Contents], sent: Sent) -> None:
        size = {name: wanted[name] for name in missing}
        to = f"{(sent.path or '').rstrip('/')}/{self._parts.removeprefix('./')}/"
        self._shell.rsync_many(
            self._folder.rstrip("/") + "/", self._shell.word(to), missing, timeout_s=limit_of(size)
        )
        hit("transfer.sent")
        sums = self._sums(missing, size, durable=True)
        good = sorted(
            (name for name in missing if sums.get(name) == wanted[name].sha256), key=os.path.split
        )
        placed = set()
        if good:
            for word, value in self._ask(_PLACE, good, size):
                if word == "placed":
                    placed.add(value.removeprefix("./"))
        sent.new += (name for name in missing if name in placed)
        sent.alone += (name for name in missing if name not in placed)
        if len(good) < len(missing):
            self._ask(_DROP, [name for name in missing if name not in placed], size)


def limit_of(wanted: Mapping[str, Contents]) -> float:
    """Return how long a command may take that reads or copies all of them."""
    return limit_s(sum(one.size_bytes for one in wanted.values())) + len(wanted) * _EACH_S
