"""An attempt made by hand: its exact environment and command in a fresh scratch, nothing recorded."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.pipeline import ItemKind, Pipeline, Step
from stoker.model.task import Claimed
from stoker.project.verbs.by_hand import script_of
from stoker.spec.environment import attempt_env, base_environment
from stoker.spec.member_names import ALL, FOLDER, file_of, lists_used
from stoker.spec.template import compile_step
from stoker.spec.values import Context
from stoker.work.outputs import OUT

if TYPE_CHECKING:
    from stoker.model.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What it takes to do an attempt by hand.

    `before` is the environment in which `prepare` runs, without any value of the attempt; `own` is
    what Stoker and the step set after it. `outputs` maps each
    output's name to where the tool writes it (None: picked up after the end) and where it would be
    published. `script` is the command as bash text, functions included.
    """

    claimed: Claimed
    step: Step
    folder: str
    scratch: str
    before: Mapping[str, str]
    own: Mapping[str, str]
    outputs: Mapping[str, tuple[str | None, str]]
    script: str
    lists: tuple[tuple[str, str], ...] | None = None  # of members, for a group

    def make_folders(self) -> None:
        """The scratch and the folders for the outputs are there."""
        os.makedirs(self.scratch, mode=0o700, exist_ok=True)
        for made, _ in self.outputs.values():
            if made is not None:
                os.makedirs(os.path.dirname(made), exist_ok=True)

    @property
    def setting(self) -> str:
        """Bash text that does `prepare` and then sets what the attempt has of its own."""
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.own.items()]
        return "\n".join([self.step.prepare or "", *exports]).strip("\n")

    def as_text(self) -> str:
        """Return a bash script that does it all: folders, `prepare`, environment, the command."""
        lines = [
            f"# step {self.step.name} of {_on_one_line(self.claimed.key)}, as Stoker runs it",
            f"mkdir -p {shlex.quote(self.scratch)} && cd {shlex.quote(self.scratch)}",
        ]
        folders = [os.path.dirname(made) for made, _ in self.outputs.values() if made is not None]
        if folders:
            lines.append(shlex.join(["mkdir", "-p", *dict.fromkeys(folders)]))
        if self.lists is not None:
            lines.append(
                f"# `stoker shell` writes the lists of members into {FOLDER}, beside scratch"
            )
        lines += [self.setting, self.script]
        for name, (made, target) in self.outputs.items():
            where = _on_one_line(made) if made is not None else "what matches its pattern here"
            lines.append(f"# output {name}: {where} would be published at {_on_one_line(target)}")
        return "\n".join(lines) + "\n"


def _on_one_line(text: str) -> str:
    """Return a path for a comment, which a line break in it would end."""
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return shlex.quote(line)


def rehearse(
    settings: "Settings", pipeline: Pipeline, claimed: Claimed, *, scratch: str
) -> Rehearsal:
    """Return what it takes to do this attempt in `scratch`. Touches nothing."""
    step = pipeline.step(claimed.step)
    plan = compile_step(pipeline, step)
    targets = plan.targets(Context(claimed=claimed, scratch=scratch))
    outputs = {
        output.name: (
            None
            if output.pick is not None
            else os.path.join(
                scratch, OUT, output.name, os.path.basename(targets[output.name].rstrip("/"))
            ),
            targets[output.name],
        )
        for output in step.outputs
    }
    made = {name: path for name, (path, _) in outputs.items() if path is not None}
    command = plan.command(Context(claimed=claimed, scratch=scratch, out=made))
    lists = lists_used(step) if pipeline.items is ItemKind.GROUPS else None
    base = base_environment(
        os.environ, project=pipeline.project_folder, site=step.site or claimed.terms.site
    )
    parent = os.path.dirname(scratch)
    env = attempt_env(
        claimed,
        scratch=scratch,
        base=base,
        secrets=settings.all_secrets,
        step=step,
        values_file=os.path.join(parent, "values"),
        reason_file=os.path.join(parent, "reason"),
        extra=command.env,
        members_file=None if lists is None else file_of(scratch, ALL),
        gpu_pools=[pool.name for pool in settings.pools if pool.kind == "gpu"],
    )
    return Rehearsal(
        claimed=claimed,
        step=step,
        folder=pipeline.folder,
        scratch=scratch,
        before={name: value for name, value in base.items() if name in env},
        own={name: value for name, value in env.items() if base.get(name) != value},
        outputs=outputs,
        lists=lists,
        script=script_of(
            step.action, command.argv, pipeline.folder, claimed, outputs=made, scratch=scratch
        ),
    )
