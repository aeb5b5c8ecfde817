"""Owns fetching many files together: two commands and one rsync over ssh for thousands of files.

The commands look at the sources and take their checksums, rsync copies all missing files into a hidden
folder in the target folder, and what has come is read back here before it gets its name, in place of
nothing. A file for which that is not enough is left to `copy`, as in `many`.
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from stoker.errors import Conflict, NotFound, Refused, StokerError, Unavailable, UserError
from stoker.failpoints import hit
from stoker.transfer import contents
from stoker.transfer.contents import Contents
from stoker.transfer.copy import limit_s
from stoker.transfer.many import ENTER, SUMS, Sent, batches, limit_of, name_of_parts
from stoker.transfer.places import Place, absolute
from stoker.transfer.shell import NoShell, Shell, number

# Sizes come from one `wc` for many files, which does not read regular ones.
_LOOK = """
path "$(pwd -P)"
each='
for name do
  kind=other
  if [ -d "$name" ]; then kind=folder
  elif [ -f "$name" ]; then kind=denied; [ ! -r "$name" ] || kind=file
  elif [ ! -e "$name" ]; then kind=none
  fi
  if [ $kind = file ]; then printf "%s\\0" "$name"
  else printf "%s %s %s\\n" "$word" $kind "$name" >&3; fi
done
printf "%s did %s\\n" "$word" $# >&3'
{ xargs -0 sh -c "$each" sh | xargs -0 wc -c | sed "s/^ */$word size /"; } 3>&1
"""


class Fetching:
    """From a folder on a host to a folder here."""

    def __init__(self, source: Place, target: Place, shell: Shell, *, dry_run: bool) -> None:
        self._source = source
        self._folder = absolute(target.path.rstrip("/") or "/")
        self._shell = shell
        self._dry_run = dry_run
        self._parts = os.path.join(self._folder, name_of_parts(source.name, source.path))
        self.host = os.uname().nodename

    def size_of(self, _: str) -> int:
        """Return 0: sizes there are known only once a batch is looked at."""
        return 0

    def copy(self, names: Sequence[str]) -> Sent:
        """The files have arrived, except those in `failed` and `alone`.

        A whole batch that cannot be fetched is an error: Unavailable, Refused, NotFound. What has come
        until then is kept, hidden, and the next call goes on there.
        """
        sent = Sent(self._folder)
        wanted: dict[str, Contents] = {}
        try:
            folder, sizes = self._look(names, sent)
            wanted = self._sums(sizes)
            missing = [name for name in wanted if not self._is_there(name, wanted[name], sent)]
            if self._dry_run:
                sent.new += missing
            else:
                for part in batches(missing, sizes.__getitem__):
                    self._fetch(folder, part, wanted, sent)
                self._tidy()
        except NoShell:
            pass
        known = {*sent.new, *sent.there, *sent.failed}
        sent.alone = [name for name in names if name not in known]
        sent.size_bytes = sum(wanted[name].size_bytes for name in sent.new + sent.there)
        return sent

    def _here(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _part(self, name: str) -> str:
        return os.path.join(self._parts, name)

    def _ask(self, script: str, names: Iterable[str], timeout_s: float) -> list[tuple[str, str]]:
        words = {"target": self._source.path, "make": "no", "parts": "", "durable": "no"}
        listed = [f"./{name}" for name in names]
        return self._shell.ask_many(ENTER + script, words, listed, timeout_s=timeout_s)

    def _look(self, names: Sequence[str], sent: Sent) -> tuple[str, dict[str, int]]:
        """Return the folder there, absolute, and the sizes of the files in it that can be read."""
        folder, done, sizes = "", 0, {}
        kinds: dict[str, str] = {}
        asked = set(names)
        for word, value in self._ask(_LOOK, names, limit_s(0) + len(names)):
            if word == "path":
                folder = self._shell.path_of(value)
            elif word == "did":
                done += number(value)
            elif word == "size":
                size, _, name = value.partition(" ./")
                if name and size.isdecimal():
                    sizes[name] = number(size)
            elif value.removeprefix("./") in asked:
                kinds[value.removeprefix("./")] = word
        if done != len(names):  # no such folder, or an `xargs` without -0
            return folder, {}
        for name, kind in kinds.items():
            sent.failed[name] = _why(kind, self._source.below(name).shown)
        return folder, {name: sizes[name] for name in names if name in sizes}

    def _sums(self, sizes: Mapping[str, int]) -> dict[str, Contents]:
        """Return what the files there hold; those that cannot be read are left out."""
        if not sizes:
            return {}
        found = {}
        holding = {name: Contents(size, "") for name, size in sizes.items()}
        for word, value in self._ask(SUMS, sizes, limit_of(holding)):
            digest, _, name = value.partition("./")
            if word == "sum" and name in sizes:
                found[name] = Contents(sizes[name], digest.rstrip(" *"))
        return found

    def _is_there(self, name: str, wanted: Contents, sent: Sent) -> bool:
        """Whether nothing has to be fetched: the file is here already, or something else is."""
        target = self._here(name)
        try:
            if not os.path.lexists(target):
                return False
            if os.path.isfile(target) and contents.read(target) == wanted:
                sent.there.append(name)
                self._drop_placed(name)
            else:
                what = "a folder" if os.path.isdir(target) else "there with other content"
                sent.failed[name] = Conflict(f"`{target}` is {what}; it stays")
        except (OSError, StokerError):  # `copy` says why
            return True
        return True

    def _drop_placed(self, name: str) -> None:
        """The file has one name only, also if a run was broken off before it deleted the hidden one."""
        with suppress(OSError):
            if os.path.samefile(self._part(name), self._here(name)):
                os.unlink(self._part(name))

    def _fetch(
        self, folder: str, names: Sequence[str], wanted: Mapping[str, Contents], sent: Sent
    ) -> None:
        """The files have their names here; those that are not in `sent.new` are for `copy`."""
        try:
            os.makedirs(self._folder, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self._parts, 0o700)
            if not stat.S_ISDIR(os.lstat(self._parts).st_mode):
                return
        except OSError:
            return
        size = {name: wanted[name] for name in names}
        there = self._shell.word(folder.rstrip("/") + "/")
        self._shell.rsync_many(there, self._parts + "/", names, timeout_s=limit_of(size))
        hit("transfer.sent")
        self._sync()
        folders = set()
        for name in names:
            if self._place(name, wanted[name]):
                folders.add(os.path.dirname(self._here(name)))
                sent.new.append(name)
        try:
            for one in folders:
                contents.sync(one)
        except OSError as error:
            raise Unavailable(f"`{self._folder}` cannot be written: {error.strerror}") from None

    def _sync(self) -> None:
        """What has come is on the disk."""
        try:
            subprocess.run(["sync", "-f", self._parts], check=True, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            os.sync()

    def _place(self, name: str, wanted: Contents) -> bool:
        """Whether the file arrived as it was there, and has its name; nothing is left of it if not."""
        part, target = self._part(name), self._here(name)
        try:
            if stat.S_ISREG(os.lstat(part).st_mode) and contents.read(part) == wanted:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                contents.rename_new(part, target)
                return True
        except (OSError, StokerError):
            pass
        with suppress(OSError):
            os.unlink(part)
        return False

    def _tidy(self) -> None:
        """Folders of ours in which nothing is left are deleted."""
        for folder, _, _ in os.walk(self._parts, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)


def _why(kind: str, shown: str) -> StokerError:
    """Return the error for what is not a file that can be read."""
    if kind == "none":
        return NotFound(f"there is no file `{shown}`")
    if kind == "denied":
        return Refused(f"`{shown}` may not be read by this account")
    return UserError(
        f"`{shown}` is {'a folder; pack it first' if kind == 'folder' else 'not a file'}"
    )
