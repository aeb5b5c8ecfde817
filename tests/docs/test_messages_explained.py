"""Every message that the guide explains is one that Stoker can print."""

import ast
import re

from docs.test_tutorial import ROOT

PAGE = ROOT / "docs/howto/messages-explained.md"


def texts():
    """Return the texts in the source, with a mark where a value is filled in."""
    for path in (ROOT / "src/stoker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    one.value if isinstance(one, ast.Constant) else "\0" for one in node.values
                )
                yield "".join(map(str, parts)).replace("`", "")
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value.replace("`", "").replace("{}", "\0")


def test_each_explained_message_exists():
    explained = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(explained) > 20
    known = "\n\n".join(texts())
    missing = []
    for message in explained:
        words = [re.escape(part.strip()) for part in message.split("…") if part.strip()]
        if not re.search(r"(?:(?!\n\n)[\s\S])*?".join(words), known):
            missing.append(message)
    assert missing == []
