"""The command that does the same as a page, so that the pages teach the command line."""

import shlex


def command_line(verb: str, *words: str, **options: str | int | None) -> str:
    """Return `stoker VERB WORDS…` with the options that are given, quoted for a shell."""
    said = ["stoker", *verb.split()]
    for name, value in options.items():
        if value is None or value == "":
            continue
        option, text = f"--{name.replace('_', '-')}", str(value)
        said += [option, text] if not text.startswith("-") else [f"{option}={text}"]
    if any(word.startswith("-") for word in words):
        said.append("--")
    return shlex.join([*said, *words])
