"""Where a store is, as people write it: the URL of a file or of a database on a server.

No message repeats a URL: it may hold a password.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from stoker.errors import UserError
from stoker.spec.locations import absolute

_URL = re.compile(r"(sqlite|postgresql\+psycopg|mariadb\+pymysql)://(.*)", re.DOTALL)
_PASSWORD = re.compile(r"[^:/]*:(?P<password>[^@]*)@|.*[?&]pass(?:word|wd)=(?P<other>[^&]*)")
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")  # to a variable that no step sees
_OF_THE_STORE = re.compile(r"""^\s*(\[\s*["']?store|["']?store["']?\s*[.=])""", re.MULTILINE)
_DEFAULT = "sqlite:///.stoker/stoker.db"


class Address(NamedTuple):
    """Where a project's store is, the file with its password, and who may work on it."""

    url: str
    password_file: str | None = None
    access: str = "private"


class BadAddress(UserError):
    """The URL is of no store; `hint` says how one looks."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}: {hint}")
        self.message = message
        self.hint = hint


def store_url(url: str, folder: str) -> str:
    """Return the URL, with SQLite's file as an absolute path from `folder`; else BadAddress."""
    found = _URL.fullmatch(url)
    if not found:
        raise BadAddress(
            "the store's `url` is of no database that Stoker uses",
            "it begins with `sqlite:///`, `postgresql+psycopg://` or `mariadb+pymysql://`",
        )
    if found[1] != "sqlite":
        return url
    path = found[2].removeprefix("/")
    if not found[2].startswith("/") or not path or path.startswith(":memory:"):
        raise BadAddress("a store on SQLite is a file", "write `sqlite:///` and the path of a file")
    return f"sqlite:///{absolute(path, folder)}"


def stated_in(file: Path) -> Address | None:
    """Return what a project's file says of its store; None where only reading all of it shows that.

    Its pipelines are not looked at: with them come libraries that take longer to load than most
    commands that read a store have to do. Where the file says nothing of a store it need not even be
    TOML just now.
    """
    try:
        text = file.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
        said = tomllib.loads(text).get("store", {}) if _OF_THE_STORE.search(text) else {}
    except (OSError, ValueError, RecursionError, AttributeError):
        return None
    return stated_by(said, str(file.parent))


def stated_by(said: Any, folder: str) -> Address | None:
    """Return what the table `[store]` says; None where something in it is wrong or not plain."""
    try:
        if not said.keys() <= {"url", "password_file", "access"}:
            return None
        password, access = said.get("password_file"), said.get("access", "private")
        url = store_url(said.get("url", _DEFAULT), folder)
        if access not in ("private", "group"):
            return None
        return Address(url, None if password is None else absolute(password, folder), access)
    except (ValueError, AttributeError, TypeError, BadAddress):
        return None


def embedded_password(url: str) -> str | None:
    """Return the password that the URL itself holds; None for none, and for `${NAME}`."""
    found = _PASSWORD.match(url.partition("://")[2])
    password = (found["password"] or found["other"]) if found else None
    return None if not password or REFERENCE.fullmatch(password) else password


def refuse_password(url: str) -> None:
    """Raise BadAddress where a password stands in the URL itself: all may read a command line."""
    if embedded_password(url):
        raise BadAddress(
            "there is a password in the URL, and everybody on this machine can see the arguments of "
            "commands",
            "write `'…://USER:${NAME}@HOST/DATABASE'` and set the variable, or use --password-file",
        )
