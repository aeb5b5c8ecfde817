"""Packing a volume: the outputs of its members into blocks, with an index and checksums.

Everything is written into a hidden folder beside the one that is asked for, which then gets its name in
one move: a volume is whole, or not there. What a killed call has left is deleted by the next.
"""

import filecmp
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stoker.errors import Conflict, NotFound, Refused, UserError
from stoker.failpoints import hit
from stoker.model.encoding import Answer
from stoker.volumes.block import Block, Differs, Written
from stoker.volumes.catalogue import INDEX, SUMS, Entry, IndexWriter, open_text, write_sums
from stoker.volumes.members import Member, Wanted, check_list, read_members
from stoker.work.measure import NotPlain, measure, parts_in
from stoker.work.permit import no_limit

BLOCK_BYTES = 10 * 1024**3
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 60  # characters of a volume's name, so that a block begins with a plain header


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(Answer):
    """A volume that was packed: its name, and how much is in it.

    `left_out` counts members that were done again and whose old outputs are not there any more.
    """

    volume: str
    folder: str
    blocks: int
    members: int
    left_out: int
    files: int
    size_bytes: int


def pack(
    members: str,
    folder: str,
    *,
    name: str | None = None,
    block_bytes: int = BLOCK_BYTES,
    index: str | None = None,
    dry_run: bool = False,
) -> Packed:
    """The folder holds the volume: its blocks, its index, and their SHA-256; return what is in it.

    Without a `name` the volume has that of the folder. `index` is where the index is besides. Conflict
    where something is in the folder already, or an output is not as it was recorded; NotFound where one
    is not there. Members that were superseded are left out then. With `dry_run` all files are read and
    compared, and nothing is written.
    """
    folder = os.path.abspath(folder)
    parent = os.path.dirname(folder)
    if not os.path.isdir(parent):
        raise NotFound(f"there is no folder `{parent}`")
    _check_free(folder)
    name = _name_of(name, folder)
    part = os.path.join(parent, f".{os.path.basename(folder)}.stoker-part")
    own_index = os.path.join(part, name + INDEX)
    is_left = index is not None and _is_same(own_index, index)  # by a call that was killed
    if index is not None and os.path.lexists(index) and not is_left:
        raise Conflict(f"`{index}` is there already; it stays")
    check_list(members)
    if dry_run:
        with _in_words(folder):
            return _Packing("", folder, name, block_bytes).run(members)
    with _in_words(folder):
        if index is not None and is_left:
            os.unlink(index)  # before what shows whose it is
        _delete(part)
        os.mkdir(part)
        packing = _Packing(part, folder, name, block_bytes)
        try:
            done = packing.run(members)
            hit("volume.packed")
            _sync(part)
            if index is not None:
                _copy_index(own_index, index)
            hit("volume.indexed")
            os.rename(part, folder)
        except BaseException:
            packing.abandon()
            if index is not None and _is_same(own_index, index):
                os.unlink(index)
            _delete(part)
            raise
        _sync(parent)
    return done


def _is_same(one: str, other: str) -> bool:
    """Whether both are there, as files of the same content."""
    if not (os.path.isfile(one) and os.path.isfile(other)):
        return False
    return filecmp.cmp(one, other, shallow=False)


@contextmanager
def _in_words(folder: str) -> Iterator[None]:
    """Raise what cannot be read or written, in words; it is the folder where the error names no file."""
    try:
        yield
    except PermissionError as error:
        raise Refused(f"`{error.filename}` may not be read or written by this account") from None
    except OSError as error:
        at = error.filename or folder
        raise UserError(f"`{at}` cannot be read or written: {error.strerror}") from None


def _delete(folder: str) -> None:
    if os.path.lexists(folder):
        shutil.rmtree(folder)


def _name_of(name: str | None, folder: str) -> str:
    made = _NAME.sub("_", name or os.path.basename(folder)).strip("_")
    return made[:_LONGEST] or "volume"


def _check_free(folder: str) -> None:
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise Conflict(f"`{folder}` is there already, and not an empty folder; it stays")


def _copy_index(source: str, target: str) -> None:
    part = f"{target}.stoker-part"
    shutil.copyfile(source, part)
    _sync(part)
    os.rename(part, target)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Packing:
    """Packs one volume into a folder that is empty; without `part`, it only reads what it would pack."""

    def __init__(self, part: str, folder: str, name: str, block_bytes: int) -> None:
        self._part = part
        self._folder = folder
        self._name = name
        self._block_bytes = block_bytes
        self._block: Block | None = None
        self._sums: dict[str, str] = {}
        self._members = self._left_out = self._files = self._bytes = 0
        self._before = 0  # bytes in the blocks before

    def run(self, members: str) -> Packed:
        """Pack what the list names."""
        if self._part:
            blocks = self._write(members)
        else:
            for member in read_members(members):
                self._add(member)
            blocks = self._end(members)
        return Packed(
            volume=self._name,
            folder=self._folder,
            blocks=blocks,
            members=self._members,
            left_out=self._left_out,
            files=self._files,
            size_bytes=self._bytes,
        )

    def _write(self, members: str) -> int:
        """Blocks, index and checksums are in the folder; return how many blocks there are."""
        path = os.path.join(self._part, self._name + INDEX)
        with open_text(path, "x") as file:
            index = IndexWriter(file)
            for member in read_members(members):
                for entry in self._add(member):
                    index.add(entry)
            blocks = self._end(members)
            file.flush()
            os.fsync(file.fileno())
        from stoker.transfer import contents

        self._sums[self._name + INDEX] = contents.read(path).sha256
        write_sums(os.path.join(self._part, self._name + SUMS), self._sums)
        return blocks

    def _end(self, members: str) -> int:
        """The last block is complete; return how many there are."""
        self._close_block()
        if not self._members + self._left_out:
            raise UserError(f"`{members}` names nothing to be packed")
        return len(self._sums)

    def abandon(self) -> None:
        """Nothing is written any more."""
        if self._block is not None:
            self._block.abandon()

    def _add(self, member: Member) -> list[Entry]:
        """Pack a member as a whole, into one block."""
        if not member.files:
            return []
        block = self._room_for(sum(one.size_bytes for one in member.files))
        take_back = block.mark()
        entries: list[Entry] = []
        try:
            for wanted in member.files:
                packed = self._pack(block, member, wanted)
                entries += [self._entry(block, member, wanted, one) for one in packed]
        except (Differs, NotFound):
            if not member.superseded:
                raise
            take_back()
            self._left_out += 1
            return []
        self._members += 1
        self._files += len(entries)
        self._bytes += sum(one.size_bytes for one in entries)
        return entries

    def _room_for(self, size_bytes: int) -> Block:
        """Return the block that so much goes into; a new one where it would become too large."""
        block = self._block
        if block is not None and block.files and block.size_bytes + size_bytes > self._block_bytes:
            self._close_block()
        if self._block is None:
            name = f"{self._name}.{len(self._sums) + 1:04}.tar"
            path = os.path.join(self._part, name)
            self._block = Block(path, is_rehearsal=not self._part)
        return self._block

    def _close_block(self) -> None:
        block = self._block
        if block is None:
            return
        digest = block.close()
        self._block = None
        if block.files:
            self._sums[block.name] = digest
            self._before += block.size_bytes
        elif self._part:
            os.unlink(os.path.join(self._part, block.name))
        hit("volume.block")

    def _entry(self, block: Block, member: Member, wanted: Wanted, found: Written) -> Entry:
        return Entry(
            volume=self._name,
            block=block.name,
            offset=found.offset,
            position=self._before + found.offset,
            size_bytes=found.size_bytes,
            sha256=found.sha256,
            checksum=wanted.checksum,
            key=member.key,
            output=wanted.output,
            path=wanted.path,
            name=found.name,
        )

    def _pack(self, block: Block, member: Member, wanted: Wanted) -> list[Written]:
        """Pack an output, a file or a folder, as it was recorded."""
        path, again = wanted.path, _again(member, wanted)
        if wanted.removed or not os.path.lexists(path):
            was = "was temporary and is deleted" if wanted.removed else "is not there"
            raise NotFound(
                f"`{path}`, the output `{wanted.output}` of `{member.key}`, {was}; {again}"
            )
        name = f"{member.key}/{wanted.output}/{os.path.basename(path)}"
        changed = (
            f"`{path}`, the output `{wanted.output}` of `{member.key}`, is not as it was published"
        )
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            try:
                found = block.add(path, name)
            except Differs:
                raise Differs(f"{changed}: it changes; {again}") from None
            if found.checksum != wanted.checksum:
                raise Differs(f"{changed}; {again}")
            return [found]
        try:
            if measure(path).checksum != wanted.checksum:
                raise Differs(f"{changed}; {again}")
            return _pack_folder(block, path, name)
        except NotPlain as error:
            raise Differs(f"{changed}: {error}; {again}") from None


def _again(member: Member, wanted: Wanted) -> str:
    step = wanted.output.partition(".")[0]
    return f"`stoker rerun {member.key} --step {step}` has it go into a later volume"


def _pack_folder(block: Block, path: str, name: str) -> list[Written]:
    """Pack all that is in a folder, whose content was just found to be as recorded."""
    block.add_folder(path, name)
    written = []
    for one in parts_in(path, no_limit):
        inner = f"{name}/{os.fsdecode(one.name)}"
        if stat.S_ISDIR(one.found.st_mode):
            block.add_folder(one.path, inner)
        else:
            written.append(block.add(one.path, inner))
    return written
