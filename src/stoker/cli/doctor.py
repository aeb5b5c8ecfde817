"""`stoker doctor`."""

import click

from stoker.cli.render import COLOURS, data, json_line, say, visible
from stoker.cli.scope import Scope, be_sure, command, is_interactive, json_option


@command()
@click.option("--moved", is_flag=True, help="The store was moved here from another host, for good.")
@json_option
def doctor(scope: Scope, moved: bool, as_json: bool) -> int:
    """Check this installation and say what to do.

    Versions, the file, disk space, the file system under the store, rights, the clock, the database,
    and how processes are contained. The exit status is 1 if something must be repaired.
    """
    with scope.project(is_quiet=True) as project:
        if moved:
            if is_interactive():
                be_sure("Is nothing left that uses the old file?")
            say(f"the store of `{project.take_over_store()}` belongs to this host now")
        found = project.doctor()
    for one in found:
        if as_json:
            json_line(one)
            continue
        word = click.style(f"{one.state:<5}", fg=COLOURS[one.state])
        data(f"{word} {one.check:<12} {visible(one.text)}")
        if one.do:
            data(f"{'':18} {click.style('do:', fg='cyan')} {visible(one.do)}")
    return 1 if any(one.state == "fail" for one in found) else 0
