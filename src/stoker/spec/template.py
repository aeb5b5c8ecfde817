"""Templates (rule T): texts with placeholders, compiled once a step and filled in for each attempt.

Compiling resolves every name and finds the place of every value; filling in is on the hot path of
the worker and only gathers values. A value never becomes part of a shell's text: see `spec.shell`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from stoker.errors import UserError
from stoker.model.pipeline import Argv, Call, Persistent, Python, Run
from stoker.spec import targets
from stoker.spec.evaluation import PROMPTS, SHELLS, START_FILES
from stoker.spec.guard import Guard
from stoker.spec.names import BadName, Place, resolve
from stoker.spec.parts import Literal, Placeholder, parse
from stoker.spec.values import Arity, Slot, is_empty, to_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stoker.model.pipeline import Action, Pipeline, Step
    from stoker.spec.shell import Script
    from stoker.spec.values import Context

# Variables through which a program or a shell would run what they hold.
CODE_VARIABLES = frozenset(
    [
        *PROMPTS,
        *START_FILES,
        "LD_PRELOAD",
        "LD_AUDIT",
        "PERL5OPT",
        "PERL5DB",
        "PYTHONSTARTUP",
        "PYTHONBREAKPOINT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "R_PROFILE",
        "R_PROFILE_USER",
        "GIT_SSH_COMMAND",
        "RSYNC_RSH",
        "LESSOPEN",
    ]
)


@dataclass(frozen=True, slots=True)
class Command:
    """What to start, as text in which surrogate escapes stand for bytes that are no UTF-8.

    `env` has only what the step's own `env` sets. `argv` is empty for a step that calls a function.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in a template: `path` leads to it from the step's table, `offset` within its text."""

    path: tuple[str | int, ...]
    offset: int
    message: str
    hint: str = ""
    text: str = ""
    is_doubt: bool = False  # the grammar does not understand the text; bash itself may

    @property
    def line(self) -> int:
        """The line, from 1, within the template."""
        return self.text.count("\n", 0, self.offset) + 1


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled template that makes one text, or several words if it is nothing but a list."""

    parts: tuple[str | Slot, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Slot))

    @property
    def alone(self) -> Slot | None:
        """The placeholder, where the whole template is one that may be several words."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Slot):
            slot = self.parts[0]
            if slot.separator is None and slot.reference.arity is not Arity.ONE:
                return slot
        return None

    def render(self, context: Context) -> str:
        """Return the text for this attempt."""
        return "".join(
            [part if isinstance(part, str) else part.text(context) for part in self.parts]
        )


_STAND_IN = "x"  # for a name that means nothing, so that bash finds no second mistake there


class StepPlan:
    """A step, ready to make its command and its targets for one attempt after another."""

    __slots__ = (
        "_base", "_constant", "_env", "_folder", "_guard", "_targets", "_words",
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline, step: Step, compiler: Compiler) -> None:
        self._folder = pipeline.folder
        self._env = {name: compiler.text(("env", name), text) for name, text in step.env.items()}
        self._base, self._words = compiler.action(step.action)
        self._targets = [
            (output, compiler.text(("outputs", output.name), output.to, Place.TARGET))
            for output in step.outputs
        ]
        compiler.check_env(self._env)
        start_files = [name for name in START_FILES if name in step.env]
        self._guard = Guard(step.name, compiler.shell_texts, compiler.slots, start_files)
        self._constant: Command | None = None
        if not self._words and not any(text.slots for text in self._env.values()):
            texts = {name: "".join(map(str, text.parts)) for name, text in self._env.items()}
            self._constant = Command(self._base, texts)

    @property
    def is_constant(self) -> bool:
        """Whether the command is the same for every item."""
        return self._constant is not None

    def command(self, context: Context) -> Command:
        """Return what to start for this attempt; UserError where a value cannot be given."""
        self._guard.check(context)
        if self._constant is not None:
            return self._constant
        argv = list(self._base)
        for words in self._words:
            argv.extend(words(context))
        env = self._env
        if not env:
            return Command(tuple(argv), _NO_ENV)
        return Command(tuple(argv), {name: text.render(context) for name, text in env.items()})

    @property
    def fixed_env(self) -> dict[str, str]:
        """What the step's `env` sets in the same way for every item."""
        return {
            name: "".join(map(str, text.parts))
            for name, text in self._env.items()
            if not text.slots
        }

    def targets(self, context: Context) -> dict[str, str]:
        """Return where each output is published: an absolute path, with a trailing slash kept.

        UserError where a value from outside would lead out of the folder that it is to stay in.
        """
        return {
            output.name: targets.render(output, text.parts, context, self._folder)
            for output, text in self._targets
        }


_NO_ENV: Mapping[str, str] = {}


class Compiler:
    """Resolves the templates of one step and keeps what is wrong with them."""

    def __init__(self, pipeline: Pipeline, step: Step | None) -> None:
        self.findings: list[Finding] = []
        self.slots: list[Slot] = []  # of the command and of `env`
        self.shell_texts: dict[str, str] = {}  # as bash gets them, by the keys that hold them
        self._pipeline = pipeline
        self._step = step

    def text(
        self, path: tuple[str | int, ...], template: str, place: Place = Place.COMMAND
    ) -> Text:
        """Return a template with its names resolved; what has no meaning is left out and found."""
        parts: list[str | Slot] = []
        written = parse(template)
        around = zip((None, *written), written, (*written[1:], None), strict=False)
        for before, part, after in around:
            if isinstance(part, Literal):
                parts.append(part.text)
                continue
            try:
                reference = resolve(part.name, self._pipeline, self._step, place)
            except BadName as bad:
                self.find(path, part.offset, bad.message, bad.hint, template)
                parts.append(_STAND_IN)
                continue
            is_start = place is Place.COMMAND and _begins_path(before, after)
            parts.append(Slot(reference, part.separator, part.offset, is_start))
        text = Text(tuple(parts))
        if place is Place.COMMAND:
            self.slots.extend(text.slots)
        if text.alone is None or place is not Place.COMMAND or path[0] == "env":
            self._check_lists(path, template, text)
        return text

    def action(
        self, action: Action
    ) -> tuple[tuple[str, ...], tuple[Callable[[Context], Sequence[str]], ...]]:
        """Return the words of the command that never change, and what makes the ones after them."""
        made: tuple[tuple[str, ...], tuple[Callable[[Context], Sequence[str]], ...]]
        match action:
            case Python() | Call():
                return (), ()
            case Persistent():
                made = self._argv(action.program, Place.PROGRAM)
            case Run():
                made = self._run(action)
            case Argv():
                made = self._argv(action.words)
            case _:
                assert_never(action)
        if self.shell_texts and self._step is not None and self._step.prepare:
            self.shell_texts["prepare"] = self._step.prepare
        return made

    def check_env(self, env: Mapping[str, Text]) -> None:
        """Find variables of `env` through which a value would become code."""
        for name, text in env.items():
            if name in CODE_VARIABLES and text.slots:
                message = f"`{name}` is run as code by what it is given to, so it takes no value"
                self.find(("env", name), text.slots[0].offset, message, "", "")

    def find(
        self, path: tuple[str | int, ...], offset: int, message: str, hint: str, text: str
    ) -> None:
        """Note a mistake."""
        self.findings.append(Finding(path, offset, message, hint, text))

    def _check_lists(self, path: tuple[str | int, ...], template: str, text: Text) -> None:
        if path == ("run",):
            return
        for slot in text.slots:
            if slot.separator is None and slot.reference.arity is Arity.MANY:
                name = slot.reference.name
                message = f"`{{{name}}}` is a list and stands inside a word"
                self.find(path, slot.offset, message, f"join it: `{{{name}:,}}`", template)

    def _argv(
        self, written: Sequence[str | Sequence[str]], place: Place = Place.COMMAND
    ) -> tuple[tuple[str, ...], tuple[Callable[[Context], Sequence[str]], ...]]:
        base: list[str] = []
        words: list[Callable[[Context], Sequence[str]]] = []
        all_texts: list[Text] = []
        for index, word in enumerate(written):
            if isinstance(word, str):
                texts = [self.text(("argv", index), word, place)]
                made = _make_word(texts[0])
            else:
                texts = [self.text(("argv", index, at), text) for at, text in enumerate(word)]
                made = _make_group(texts)
            all_texts += texts
            if not words and isinstance(made, tuple):
                base.extend(made)
            else:
                words.append(_always(made) if isinstance(made, tuple) else made)
        shown = [
            "".join(part if isinstance(part, str) else "$x" for part in text.parts)
            for text in all_texts
        ]
        if any(word.rpartition("/")[2] in SHELLS for word in shown):
            self.shell_texts["argv"] = "\n".join(shown)
        return tuple(base), tuple(words)

    def _run(
        self, action: Run
    ) -> tuple[tuple[str, ...], tuple[Callable[[Context], Sequence[str]], ...]]:
        from stoker.spec.shell import place_values

        text = self.text(("run",), action.text)
        script = place_values(text.parts)
        self.shell_texts["run"] = script.body
        for trouble in script.troubles:
            message, hint, doubt = trouble.message, trouble.hint, trouble.is_doubt
            found = Finding(("run",), trouble.offset, message, hint, action.text, is_doubt=doubt)
            self.findings.append(found)
        title = "stoker" if self._step is None else self._step.name  # begins bash's messages
        base = ("bash", "-euo", "pipefail", "-c", script.text, title)
        return base, (_make_arguments(script),) if script.values else ()


def _begins_path(before: Literal | Placeholder | None, after: Literal | Placeholder | None) -> bool:
    """Whether what stands between the two is the first part of a path."""
    goes_on = isinstance(after, Literal) and after.text.startswith("/")
    is_first = before is None or (isinstance(before, Literal) and before.text[-1] in _BEFORE_PATHS)
    return goes_on and is_first


_BEFORE_PATHS = " \t\n\"'=:;&|<>()`"


def compile_step(pipeline: Pipeline, step: Step) -> StepPlan:
    """Return the plan of a step.

    UserError with all mistakes of its templates, which a pipeline that was checked does not have.
    """
    compiler = Compiler(pipeline, step)
    plan = StepPlan(pipeline, step, compiler)
    if compiler.findings:
        listed = "; ".join(finding.message for finding in compiler.findings)
        raise UserError(f"step `{step.name}` of pipeline `{pipeline.name}`: {listed}")
    return plan


def find_mistakes(pipeline: Pipeline, step: Step) -> list[Finding]:
    """Return what is wrong with the templates of a step."""
    compiler = Compiler(pipeline, step)
    StepPlan(pipeline, step, compiler)
    return compiler.findings


def compile_script(pipeline: Pipeline, step: Step, action: Run) -> str:
    """Return the shell text of a `run` step, as bash gets it."""
    from stoker.spec.shell import place_values

    return place_values(Compiler(pipeline, step).text(("run",), action.text).parts).text


def _always(words: tuple[str, ...]) -> Callable[[Context], Sequence[str]]:
    return lambda _: words


def _make_word(text: Text) -> tuple[str, ...] | Callable[[Context], Sequence[str]]:
    alone = text.alone
    if alone is not None:
        get = alone.reference.get
        return lambda context: to_words(get(context))
    if not text.slots:
        return ("".join(map(str, text.parts)),)
    return lambda context: (text.render(context),)


def _make_group(
    texts: Sequence[Text],
) -> tuple[str, ...] | Callable[[Context], Sequence[str]]:
    """Return what makes a nested list of words, which vanishes when a value in it is empty."""
    slots = [slot for text in texts for slot in text.slots]
    if not slots:
        return tuple("".join(map(str, text.parts)) for text in texts)
    words = [_make_word(text) for text in texts]

    def make(context: Context) -> Sequence[str]:
        if any(is_empty(slot.reference.get(context)) for slot in slots):
            return ()
        made: list[str] = []
        for word in words:
            made.extend(word if isinstance(word, tuple) else word(context))
        return made

    return make


def _make_arguments(script: Script) -> Callable[[Context], Sequence[str]]:
    """Return what makes the positional arguments that the script's first line takes apart."""
    scalars, lists = script.scalars, script.lists

    def make(context: Context) -> Sequence[str]:
        arguments: list[Any] = [scalar(context) for scalar in scalars]
        for slot in lists:
            words = to_words(slot.reference.get(context))
            arguments.append(str(len(words)))
            arguments.extend(words)
        return arguments

    return make
