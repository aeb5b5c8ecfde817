"""`stoker shell`."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import click

from stoker.cli.completing import PIPELINE, STEP
from stoker.cli.render import say, visible
from stoker.cli.scope import KEY, Scope, by_part, command


@command()
@click.argument("key", type=KEY, metavar="KEY")
@click.argument("step", type=STEP, metavar="STEP")
@click.option(
    "--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline, if several have the key."
)
@click.option("--command", "line", metavar="TEXT", help="Run this instead of a shell to type in.")
def shell(scope: Scope, key: str, step: str, pipeline: str | None, line: str | None) -> int:
    """Open a shell as an attempt would see it; nothing is recorded.

    The shell begins in a fresh scratch with the exact inputs and environment, `prepare` done; the
    step's command is in the file `$STOKER_COMMAND` (`bash "$STOKER_COMMAND"` runs it). Nothing
    is published. The scratch is wiped when the shell ends. Exits with the shell's status.
    """
    with scope.project() as project:
        root = tempfile.mkdtemp(prefix="stoker-shell-")
        try:
            rehearsal = by_part(
                project,
                key,
                pipeline,
                lambda name, of: project.rehearse(
                    name, step, scratch=f"{root}/scratch", pipeline=of
                ),
            )
            rehearsal.make_folders()
            project.groups.list_for(rehearsal)
            script = Path(root, "command")
            script.write_bytes(os.fsencode(rehearsal.script + "\n"))
            say(f"step {step} of {rehearsal.claimed.key}, in {rehearsal.scratch}")
            say('`bash "$STOKER_COMMAND"` does what the step does; nothing is recorded')
            claimed = rehearsal.claimed
            story = project.show(claimed.key, pipeline=claimed.pipeline)
            states = {one.step: one.state for one in story.tasks}
            for before in rehearsal.step.after:
                if states.get(before, "done") not in ("done", "skipped"):
                    say(
                        f"step {before} before it is {states[before]}; what it would leave is missing"
                    )
            for name, (made, target) in rehearsal.outputs.items():
                where = made if made is not None else "what it makes here"
                say(f"output {name}: {visible(where)} (published at {visible(target)})")
            rc = Path(root, "rc")
            rc.write_bytes(os.fsencode(f"{rehearsal.setting}\nPS1='(stoker) \\w\\$ '\n"))
            words = ["-c", f'. "$STOKER_RC"\n{line}'] if line else ["--rcfile", str(rc), "-i"]
            environment = {
                **rehearsal.before,
                "STOKER_COMMAND": str(script),
                "STOKER_RC": str(rc),
            }
            done = subprocess.run(
                ["bash", *words], cwd=rehearsal.scratch, env=environment, check=False
            )
            return done.returncode if done.returncode >= 0 else 128 - done.returncode
        finally:
            shutil.rmtree(root, ignore_errors=True)
