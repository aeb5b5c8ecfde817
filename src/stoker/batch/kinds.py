"""Which adapter serves a batch system."""

from stoker.batch.runner import Runner
from stoker.batch.system import System
from stoker.model.batch import BatchSystem


def system_of(settings: BatchSystem, *, folder: str) -> System:
    """Return the adapter; `folder` is where its commands begin."""
    runner = Runner(ssh=settings.ssh, cwd=folder)
    if settings.system == "slurm":
        from stoker.batch.slurm import Slurm

        return Slurm(runner)
    if settings.system == "gridengine":
        from stoker.batch.gridengine import GridEngine

        return GridEngine(runner)
    from stoker.batch.commands import Commands

    return Commands(settings.name, settings.commands, runner)
