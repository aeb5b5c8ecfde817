"""Which results a pipeline offers: those that it names, or else what its last steps publish."""

from collections import Counter

from stoker.model.pipeline import Pipeline
from stoker.model.web import Result


def results_of(pipeline: Pipeline) -> tuple[Result, ...]:
    """Return the results in order; without `[pipelines.P.results]` all outputs of the last steps.

    `temp` outputs are not among those. Where two last steps have an output of the same name, each is
    called `STEP_NAME`.
    """
    if pipeline.results:
        return pipeline.results
    found = [
        (step.name, output.name)
        for step in pipeline.steps
        if not pipeline.successors(step.name)
        for output in step.outputs
        if not output.temp
    ]
    counts = Counter(name for _, name in found)
    return tuple(
        Result(
            name=name if counts[name] == 1 else f"{step}_{name}",
            of=f"outputs.{step}.{name}",
        )
        for step, name in found
    )
