"""`stoker completion`."""

import os
import stat
from pathlib import Path

import click

from stoker.cli.render import data, say
from stoker.cli.scope import Scope, command, dry_run_option
from stoker.errors import Conflict, UserError

_VARIABLE = "_STOKER_COMPLETE"
_MARK = "# Written by `stoker completion`; it may be removed."
_LAZY = Path("/usr/share/bash-completion/bash_completion")  # loads a command's file when needed


@command()
@click.argument("shell", required=False, type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--print", "prints", is_flag=True, help="Print the script, and write nothing.")
@dry_run_option
def completion(_scope: Scope, shell: str | None, prints: bool, dry_run: bool) -> None:
    """Let Tab complete commands, options, pipelines, steps, states and keys.

    The command writes a file for your shell (by default the one in `$SHELL`), and where the shell
    does not find it by itself, a line in `~/.bashrc` or `~/.zshrc`. It works in shells that you open
    from then on. Keys are completed unless they have characters that a shell would change.
    """
    name = shell or _own_shell()
    script = f"{_MARK}\n{_script(name)}"
    if prints:
        data(script)
        return
    file, start = _places(name)
    if file.exists() and not _text(file).startswith(_MARK):
        raise Conflict(
            f"`{file}` is not a file of Stoker; remove it, or save the output of "
            f"`stoker completion {name} --print` elsewhere"
        )
    line = f"source '{file}'"
    adds_line = start is not None and line not in _text(start).splitlines()
    if start is not None and adds_line:
        say(f"{'would add' if dry_run else 'adding'} to `{start}`: {line}")
    say(f"{'would write' if dry_run else 'writing'} `{file}`; open a new shell to use it")
    if dry_run:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script, encoding="utf-8")
    if start is not None and adds_line:
        begun = _text(start)
        gap = "" if not begun or begun.endswith("\n") else "\n"
        with start.open("a", encoding="utf-8") as out:
            out.write(f"{gap}{line}\n")


def _own_shell() -> str:
    name = os.path.basename(os.environ.get("SHELL", ""))
    if name not in ("bash", "zsh", "fish"):
        raise UserError(f"`SHELL` is `{name}`; name your shell: `stoker completion bash|zsh|fish`")
    return name


def _script(shell: str) -> str:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise UserError(f"there is no completion for `{shell}`")
    root = click.get_current_context().find_root().command
    return made(root, {}, "stoker", _VARIABLE).source()


def _places(shell: str) -> tuple[Path, Path | None]:
    """Return where the script goes, and the file that has to name it, if one has to."""
    home = Path.home()
    share = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    match shell:
        case "fish":
            config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
            return config / "fish/completions/stoker.fish", None
        case "zsh":
            folder = Path(os.environ.get("ZDOTDIR") or home)
            return share / "stoker/completion.zsh", folder / ".zshrc"
        case _:
            file = share / "bash-completion/completions/stoker"
            return file, None if _LAZY.exists() else home / ".bashrc"


def _text(file: Path) -> str:
    """Return what is in a file, nothing where there is none. UserError if it is not a plain file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"`{file}` is not a file; move it away, or use `--print`")
    return file.read_text(encoding="utf-8", errors="surrogateescape")
