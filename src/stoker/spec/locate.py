"""Where in a TOML file a key or a value stands.

The standard library reads TOML without keeping positions. They are wanted only when something is
wrong, so they are found then, from the syntax tree of the TOML grammar of tree-sitter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node

Path = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1


class Locator:
    """The places of all keys of one file, and where the text of each multi-line string begins."""

    def __init__(self, text: str) -> None:
        self._places: dict[Path, Place] = {(): (1, 1)}
        self._text_lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        self._walk_document(_parse(text))

    def place(self, path: Sequence[str | int]) -> Place:
        """Return the place of the key at `path`, or of the innermost table around it."""
        wanted = tuple(path)
        while wanted not in self._places:
            wanted = wanted[:-1]
        return self._places[wanted]

    def text_line(self, path: Sequence[str | int], line: int) -> int:
        """Return the file's line for line `line` (from 1) of the string at `path`."""
        first = self._text_lines.get(tuple(path))
        return self.place(path)[0] if first is None else first + line - 1

    def _walk_document(self, root: Node) -> None:
        for node in root.named_children:
            if node.type == "pair":
                self._walk_pair((), node)
            elif node.type in ("table", "table_array_element"):
                self._walk_table(node)

    def _walk_table(self, node: Node) -> None:
        children = [child for child in node.named_children if child.type != "comment"]
        if not children:
            return
        path = self._resolve(_key_parts(children[0]), _place(children[0]))
        if node.type == "table_array_element":
            index = self._tables.get(path, -1) + 1
            self._tables[path] = index
            path = (*path, index)
            self._places[path] = _place(children[0])
        for child in children[1:]:
            if child.type == "pair":
                self._walk_pair(path, child)

    def _resolve(self, parts: Sequence[str], place: Place) -> Path:
        """Return the path of a table's header, where an array of tables means its last element."""
        path: Path = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            self._places.setdefault(path, place)
            if path in self._tables and position < len(parts) - 1:
                path = (*path, self._tables[path])
        return path

    def _walk_pair(self, base: Path, node: Node) -> None:
        named = [child for child in node.named_children if child.type != "comment"]
        if len(named) < 2:
            return
        path = base
        for part in _key_parts(named[0]):
            path = (*path, part)
            self._places.setdefault(path, _place(named[0]))
        self._walk_value(path, named[1])

    def _walk_value(self, path: Path, node: Node) -> None:
        if node.type == "inline_table":
            for child in node.named_children:
                if child.type == "pair":
                    self._walk_pair(path, child)
        elif node.type == "array":
            values = [child for child in node.named_children if child.type != "comment"]
            for index, child in enumerate(values):
                self._places[(*path, index)] = _place(child)
                self._walk_value((*path, index), child)
        elif node.type == "string" and node.text:
            begins_below = node.text[:4] in (b'"""\n', b"'''\n") or node.text[:5] == b'"""\r\n'
            self._text_lines[path] = node.start_point[0] + 1 + begins_below


def _parse(text: str) -> Node:
    import tree_sitter
    import tree_sitter_toml

    language = tree_sitter.Language(tree_sitter_toml.language())
    return tree_sitter.Parser(language).parse(text.encode("utf-8", "surrogatepass")).root_node


def _place(node: Node) -> Place:
    return node.start_point[0] + 1, node.start_point[1] + 1


def _key_parts(node: Node) -> list[str]:
    return list(_iterate_key(node))


def _iterate_key(node: Node) -> Iterator[str]:
    if node.type == "dotted_key":
        for child in node.named_children:
            yield from _iterate_key(child)
    elif node.type == "quoted_key":
        text = (node.text or b"").decode("utf-8", "replace")
        yield _unquote(text)
    else:
        yield (node.text or b"").decode("utf-8", "replace")


def _unquote(text: str) -> str:
    import tomllib

    if text.startswith('"'):
        try:
            return str(tomllib.loads(f"key = {text}")["key"])
        except tomllib.TOMLDecodeError:
            pass
    return text[1:-1]
