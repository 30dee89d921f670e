"""Components: what a spec can name. A component is a factory (options in, callable out) with a name, options and docs.

The decorators below turn a plain function with keyword-only options into a `Component`::

    @source
    def jsonl(*, path: Path) -> Source: ...

Annotations become the JSON Schema of the options, defaults become defaults, the docstring becomes the description;
nothing is called and nothing heavy imported until a spec that names the component is run.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, overload, runtime_checkable

import msgspec
from msgspec import Meta

from ftspec.errors import Finding, PluginError
from ftspec.messages import Answer, Generation, Prompt
from ftspec.provider import Method
from ftspec.records import Evaluation, Grade, Needs, Record, Verdict
from ftspec.shapes import Shape
from ftspec.tuner import Tuner

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["source", "cleaner", "format", "check", "provider", "grader", "gate", "engine"]
Level = Literal["batch", "text", "row", "global", "screen", ""]
KINDS: tuple[Kind, ...] = ("source", "cleaner", "format", "check", "provider", "grader", "gate", "engine")

TITLES: dict[Kind, str] = {
    "source": "source",
    "cleaner": "cleaning step",
    "format": "format",
    "check": "check",
    "provider": "provider",
    "grader": "grader",
    "gate": "gate",
    "engine": "engine",
}
"""What the kinds are called where a user reads it."""

PATH_MARK = "x-ftspec"
Path = Annotated[str, Meta(extra_json_schema={PATH_MARK: "path"})]
"""A file, folder or glob. Relative to the spec there; core hashes its content and hands over an absolute path."""

Column = Annotated[str, Meta(extra_json_schema={PATH_MARK: "column"})]
"""The name of a column of the rows a cleaning step gets: core says so when no row has such a column."""


Secret = Annotated[str, Meta(extra_json_schema={PATH_MARK: "secret"})]
"""A text that may be `${secret:NAME}` in a step or check too, whose other options may not. What the component makes of
it must not tell the secret."""

ProviderRef = Annotated[str | dict[str, Any], Meta(extra_json_schema={PATH_MARK: "provider"})]
"""A provider as a spec writes it, bare or with options: `{openai: {base_url: ...}}`. Core checks it, and builds it."""


class Chunk(NamedTuple):
    """Rows as a source read them: `lines[i]` is the 1-based line (or row) of `origin` that row i came from."""

    batch: pa.RecordBatch
    origin: str
    lines: Sequence[int]


class Source(NamedTuple):
    """What a source factory returns. `read` yields Chunks, and a Finding for each line that is not a row.

    `fingerprint` names the content where it is not in a Path option (a revision, an ETag): it goes into the plan.
    """

    read: Callable[[], Iterator[Chunk | Finding]]
    fingerprint: Callable[[], str] | None = None


BatchStep = Callable[["pa.RecordBatch"], "pa.RecordBatch"]
"""Rows in, an ordered subset of them out (columns may change; `_row` and the other hidden columns stay)."""

RowStep = Callable[[dict[str, Any]], dict[str, Any] | None]
"""One row in, the row to keep or None to drop it. Convenient, and slower: rows are converted to dicts and back."""


class Text(NamedTuple):
    """What a text step returns: text to text, on every text of a row that `prefilter` (an RE2 pattern) finds.

    `prefilter` may also be a function: of an array of texts it tells the places of those worth a call, in order, and
    for each a number that `function` gets as its second argument. Texts inside JSON values it gets without one.
    `nested` says whether it also works on texts inside JSON values: the arguments of tool calls, lists and objects.
    `of_row`, where a text's fate depends on the row's other texts, is called once per row that has a text worth a call,
    and its result takes the place of `function` for that row's texts, in one order however rows are cut into batches.
    With `beyond_ascii` texts of ASCII alone are passed by, which is seen much faster than a pattern is searched.
    `arrays` does to an array of texts, with Arrow's kernels, what `function` does to one, and is used where it can be.
    """

    function: Callable[..., str]
    prefilter: str | Callable[[pa.Array], Mapping[int, int]] | None = None
    nested: bool = True
    of_row: Callable[[], Callable[..., str]] | None = None
    beyond_ascii: bool = False
    arrays: Callable[[pa.Array], pa.Array] | None = None


class Dropped(NamedTuple):
    """Rows to drop, by `_row` number, and for each the row that is the reason (or itself)."""

    rows: pa.Array
    because: pa.Array


Again = Callable[["pa.Array"], "Iterator[pa.RecordBatch]"]
"""Rows at these places once more: see Closer."""


class Closer(NamedTuple):
    """A second look of a global step: at some rows, whole again, once all keys are known.

    Args:
        wanted: (all keys, their rows) → the rows worth a closer look, by number, in any order.
        details: a batch of such rows → one value per row. Called in parallel, on batches cut anyhow.
        reduce: (all keys, their rows, the rows looked at, their details) → what to drop. The rows looked at are in the
            order in which the step gets its rows.
        spread: (the engine, all keys, their rows, again) → the same, where the engine is one that shuffles: instead of
            the other three, so that no process has to hold or to compare the whole. Keys come as they lie with the
            driver, for this to send them out; `again` makes batches of the rows at these places among the keys, each
            with its place in the column `_place`, in any order.
    """

    wanted: Callable[[pa.Array, pa.Array], pa.Array]
    details: Callable[[pa.RecordBatch], pa.Array]
    reduce: Callable[[pa.Array, pa.Array, pa.Array, pa.Array], Dropped]
    spread: Callable[[SupportsShuffle, pa.Array, pa.Array, Again], Dropped] | None = None


class GlobalStep(NamedTuple):
    """A step that must see every row: keys per batch (in parallel), then one reduction.

    Args:
        keys: a batch → one key per row (or a list of keys per row).
        reduce: (all keys, their rows) → what to drop; None drops nothing. Rows come in the order in which the step gets
            them, which after a step that sorts is not that of their numbers; and only those that earlier steps kept.
            Arrays may lie on disk (memory-mapped), and be of the large variant of their type: use Arrow's kernels.
        scope: "key" promises that a reduction compares equal keys only, so that it may be run on parts of the rows:
            all rows of a key are in one part, in their order. Keys that are lists are never parted.
        reason: what the ledger says of a dropped row.
        closer: a second look, in `reduce`'s place.
        sort: rows leave in ascending order of their keys (no lists); those of equal keys, and of none at the end, as
            they came.
    """

    keys: Callable[[pa.RecordBatch], pa.Array]
    reduce: Callable[[pa.Array, pa.Array], Dropped] | None = None
    scope: Literal["key", "all"] = "key"
    reason: str = "dropped"
    closer: Closer | None = None
    sort: bool = False


class Reference(NamedTuple):
    """Rows that others are compared with, and where each stands (`file:line`)."""

    batch: pa.RecordBatch
    origins: Sequence[str]


class Screen(NamedTuple):
    """A step that compares rows with other ones, which core reads before the first row is cleaned.

    Args:
        learn: the evaluation's prompts, and the rows of `files` → what the step has to know of them; it is pickled, and
            sent to every worker. Prompts come as the steps before this one leave them; `_side` says which they are.
        step: (what was learned, a batch) → an ordered subset of its rows.
        files: of further rows, absolute paths: JSON lines, JSON, CSV, Excel or Parquet. They come as they are, on the
            side "".
        prompts: whether the evaluation's prompts are read.
    """

    learn: Callable[[Iterable[Reference]], Any]
    step: Callable[[Any, pa.RecordBatch], pa.RecordBatch]
    files: Sequence[str] = ()
    prompts: bool = True


class Weighed(Record):
    """What was prepared, by size and price. None where it cannot be told; `basis` says how the cost was reckoned.

    Tokens and bytes are those of the training file, once; `cost` is that of tuning with its `epochs`; `bound`: at most.
    """

    rows: int
    validation_rows: int = 0
    bytes: int | None = None
    validation_bytes: int | None = None
    tokens: int | None = None
    trained_tokens: int | None = None
    epochs: float | None = None
    cost: float | None = None
    currency: str = ""
    bound: bool = False
    basis: str = ""


class Check(NamedTuple):
    """Measured per batch, in parallel; judged once, over a sequence of what was measured.

    Measures (which must be picklable) wait on disk: the sequence reads one whenever it is looked at.
    Batches hold the columns of their shape and the hidden ones. With `before_format` they hold the columns that the
    cleaning left, of every row that reaches the format. `weigh` judges what was written: size, tokens, cost.
    """

    measure: Callable[[pa.RecordBatch], Any]
    judge: Callable[[Any], Iterable[Finding]]
    before_format: bool = False
    weigh: Callable[[Weighed], Iterable[Finding]] | None = None


Format = Callable[["pa.RecordBatch"], "pa.RecordBatch"]
"""Rows of columns in, rows of the format's shape out: see ftspec.rows. Raises DataError by row."""

Grader = Callable[[Prompt, Answer], Grade]


class Labelled(Record):
    """An answer that a person has judged."""

    prompt: Prompt
    answer: Answer
    passed: bool


class Asks(NamedTuple):
    """What a judge asks about one answer at the most: what the plan says that judging costs.

    Args:
        questions: how many; each of them shows the prompt.
        answers: answers that each of them shows.
        rows: how often each shows the prompt's row and what is expected, or parts of these.
        tokens: of all else in a question; no tokenizer makes more tokens of a text than it has bytes in UTF-8.
    """

    questions: int = 1
    answers: int = 1
    rows: int = 1
    tokens: int = 0


class Judge(NamedTuple):
    """What a grader factory returns that asks a model: two pure functions, between which core asks.

    Core gathers the questions about all answers, puts the model up, asks as many at once as it may, and keeps the
    replies by digest, so that no question is ever asked twice: neither by the next run nor for another grader.

    Args:
        provider: as the spec writes it (an option of type ProviderRef).
        model: the provider's name for the judging model.
        generation: how it is asked.
        questions: (prompt, answer, the base model's answer to the same prompt and repeat, if known) → what the judge is
            asked; core gives each an id by its content. None where the grade needs no judge.
        grade: (prompt, answer, the replies in the questions' order) → the grade. It reads whatever a model says.
        labelled: answers that people have judged: core asks about them too, and reports how far the judge agrees.
        asks: how much that is at the most; None: nobody knows, and so nobody knows before what judging costs.
    """

    provider: str | dict[str, Any]
    model: str
    generation: Generation
    questions: Callable[[Prompt, Answer, Answer | None], Sequence[Prompt]]
    grade: Callable[[Prompt, Answer, Sequence[Answer]], Grade]
    labelled: Sequence[Labelled] = ()
    asks: Asks | None = None


Gate = Callable[[Evaluation], Verdict]

Work = Callable[[Any], Any]
"""What an engine runs: stateless and picklable (names and options inside, never a closure)."""


class Engine(Protocol):
    """Runs the per-batch part of the pipeline. Whatever the engine, the results are the same."""

    def map(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Apply `work` to each item; yield results in the items' order, holding a bounded number of them."""
        ...


@runtime_checkable
class SupportsReduce(Protocol):
    """An engine that shuffles: it runs reductions of `scope: key` itself, on parts of the rows."""

    def reduce(self, work: Work, items: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Bring rows of equal `key` together, in the order of `items`, and apply `work` to each part.

        Items have the columns key, row and place (rising over all items); a part is such a batch, sorted by place.
        `work` returns what to drop: columns row and because. Parts may be yielded in any order.
        """
        ...


@runtime_checkable
class SupportsShuffle(Protocol):
    """An engine whose workers keep what they make, so that steps can be taken one after the other without the driver.

    What `hold` and `shuffle` return stands for batches that lie with the engine, and is only good for these methods.
    """

    def hold(self, work: Work, items: Any) -> Any:
        """Apply `work` to each of the items, batches (one at least) or what is held; the batches it returns are held.

        An exception of `work` is raised here, or where what it should have returned is fetched.
        """
        ...

    def shuffle(self, work: Work, *held: Any) -> Any:
        """Bring rows of equal `key` (a column of integers) together, and apply `work` to each part.

        A part is a list: of each argument the rows whose key belongs to it, in any order, as one batch, which may be
        empty. The batches that `work` returns are held.
        """
        ...

    def fetch(self, held: Any) -> Iterator[pa.RecordBatch]:
        """What is held, batch by batch, in any order."""
        ...


Clash = tuple[tuple[str | int, ...], str]
"""(path within the options, message): what does not go together."""

Rule = Callable[[Mapping[str, Any]], Iterable[Clash]]
"""Sees all options, defaults filled in and every Path absolute, and yields what does not go together."""


class Component:
    """A factory that a spec can name.

    Args:
        kind: where in the spec it may stand.
        factory: a function, or for a provider a class, whose keyword-only parameters are the options.
        level: of a cleaner: batch, text, row, global or screen.
        name: what a spec calls it; the factory's own name, without a trailing underscore, when not given.
        rules: cross-field rules over the options.
        revision: raised by the author when results change though the code of this module does not.
        dependencies: distributions whose version changes results, or that must be installed (`name` or `name>=1`).
        install: the line that installs missing dependencies.
        private: a cleaner that removes what must not be kept: of rows before it, no text enters the ledger.
        data: of a format, the shape of the rows that it makes; of a check, the one that it is for (None: any).
        reads: of a cleaner: columns that its options name in other ways than by the type Column, by those options.
        code: further modules, by name, whose code is part of what the component does: see `code_digest`.
        needs: of a gate: what it needs measured, by its options (defaults filled in).
        packages: by its options (defaults filled in): further distributions, as in `dependencies`, each with the line
            that installs it. A model that an option names is one.
        experimental: why it is to be taken as untried, for whoever names it in a spec; empty where it is not.
    """

    def __init__(
        self,
        kind: Kind,
        factory: Callable[..., Any],
        *,
        level: Level = "",
        name: str = "",
        rules: Sequence[Rule] = (),
        revision: int = 1,
        dependencies: Sequence[str] = (),
        install: str = "",
        private: bool = False,
        data: Shape | None = None,
        code: Sequence[str] = (),
        reads: Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
        needs: Callable[[Mapping[str, Any]], Needs] | None = None,
        packages: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None,
        experimental: str = "",
    ) -> None:
        self.kind: Kind = kind
        self.factory = factory
        self.level: Level = level
        self.name = name or factory.__name__.rstrip("_")
        self.rules = tuple(rules)
        self.revision = revision
        self.dependencies = tuple(dependencies)
        self.install = install
        self.experimental = experimental
        self.private = private
        self.code = tuple(code)
        self.reads = reads
        self.needs = needs or _nothing
        self.packages = packages
        self.data: Shape | None = data or ("chat" if kind == "format" else None)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    @property
    def description(self) -> str:
        return inspect.getdoc(self.factory) or ""

    @property
    def summary(self) -> str:
        return self.description.partition("\n")[0]

    @cached_property
    def options(self) -> type[msgspec.Struct]:
        """The options as a msgspec Struct: one field per keyword-only parameter of the factory."""
        fields: list[Any] = [self._field(each) for each in self._parameters() if each.name != self.asks_tuner]
        if self.level == "text":
            fields.append(("columns", TextColumns, msgspec.field(default_factory=list)))
        return msgspec.defstruct(
            f"{self.kind}_{self.name}", fields, kw_only=True, forbid_unknown_fields=True, module=self.factory.__module__
        )

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """JSON Schema of the options, as msgspec makes it."""
        return msgspec.json.schema(self.options)

    @property
    def methods(self) -> Mapping[str, Method]:
        """Of a provider: what it takes per training method."""
        methods: Mapping[str, Method] = getattr(self.factory, "methods", {})
        return methods

    @property
    def needs_options(self) -> bool:
        """Whether some option has no default, so that the bare name is not enough."""
        return any(field.required for field in msgspec.structs.fields(self.options))

    @cached_property
    def asks_tuner(self) -> str:
        """The parameter that is no option but the `Tuner`, "" where there is none: then the model counts too."""
        return next((each.name for each in self._parameters() if self._resolve(each) is Tuner), "")

    @cached_property
    def code_digest(self) -> str:
        """sha256 of the modules that define the factory and what it is made of: changed code is a changed step.

        Raises PluginError where `code` names what cannot be imported: a digest without it would hide its changes."""
        for name in self.code:
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise PluginError(f"{self.kind} '{self.name}': code names '{name}': {error}") from error
        names = (self.factory.__module__, *self.code)
        sources = [getattr(sys.modules.get(name), "__file__", None) for name in names]
        texts = [FilePath(source).read_bytes() for source in sources if source]
        return hashlib.sha256(b"".join(texts)).hexdigest()[:16] if texts else ""

    def convert(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Validated options with defaults filled in. Raises msgspec.ValidationError."""
        struct = msgspec.convert(dict(options), self.options)
        return {name: getattr(struct, name) for name in struct.__struct_fields__}

    def wanted(self, options: Mapping[str, Any]) -> dict[str, str]:
        """All distributions that it needs with these options, and the line that installs each ("": pip's own).

        Options that are not valid name none: that they are not is said elsewhere."""
        found = dict.fromkeys(self.dependencies, self.install)
        if self.packages is None:
            return found
        try:
            return found | dict(self.packages(self.convert(options)))
        except msgspec.ValidationError:
            return found

    def build(self, options: Mapping[str, Any], tuner: Tuner | None = None) -> Any:
        """Call the factory. Text steps lose `columns`, which core applies (see ftspec.pipeline)."""
        arguments = self.convert(options)
        if self.asks_tuner:
            arguments[self.asks_tuner] = tuner or Tuner()
        if self.level == "text":
            arguments.pop("columns")
        return self.factory(**arguments)

    def _parameters(self) -> Iterator[inspect.Parameter]:
        for parameter in inspect.signature(self.factory).parameters.values():
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                raise PluginError(f"{self.kind} '{self.name}': parameter '{parameter.name}' must be keyword-only")
            yield parameter

    def _field(self, parameter: inspect.Parameter) -> tuple[str, Any] | tuple[str, Any, Any]:
        annotation = self._resolve(parameter)
        if parameter.default is inspect.Parameter.empty:
            return (parameter.name, annotation)
        default = parameter.default
        if isinstance(default, list | dict | set):
            return (parameter.name, annotation, msgspec.field(default_factory=lambda: type(default)(default)))
        return (parameter.name, annotation, default)

    def _resolve(self, parameter: inspect.Parameter) -> Any:
        """One annotation at a time: a whole-function get_type_hints fails on names imported under TYPE_CHECKING."""
        if not isinstance(parameter.annotation, str):
            return parameter.annotation
        scope = vars(sys.modules[self.factory.__module__])
        try:
            # The text comes from the plugin's own source, which runs anyway.
            return eval(parameter.annotation, scope)  # noqa: S307
        except NameError as error:
            raise PluginError(
                f"{self.kind} '{self.name}': annotation '{parameter.annotation}' of option '{parameter.name}': {error}"
            ) from error


def _nothing(options: Mapping[str, Any]) -> Needs:
    return Needs()


TextColumns = Annotated[list[Column], Meta(description="Columns to work on; every text column when empty.")]


class Decorator(Protocol):
    """`@decorator` or `@decorator(rules=..., revision=...)` over a factory; see Component for the settings."""

    @overload
    def __call__(self, factory: Callable[..., Any], /) -> Component: ...

    @overload
    def __call__(
        self,
        *,
        name: str = "",
        rules: Sequence[Rule] = (),
        revision: int = 1,
        dependencies: Sequence[str] = (),
        install: str = "",
        private: bool = False,
        data: Shape | None = None,
        code: Sequence[str] = (),
        reads: Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
        needs: Callable[[Mapping[str, Any]], Needs] | None = None,
        packages: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None,
        experimental: str = "",
    ) -> Callable[[Callable[..., Any]], Component]: ...


def _decorator(kind: Kind, level: Level = "") -> Decorator:
    def decorate(factory: Callable[..., Any] | None = None, **settings: Any) -> Any:
        if factory is None:
            return lambda late: Component(kind, late, level=level, **settings)
        return Component(kind, factory, level=level, **settings)

    decorate.__doc__ = f"Make a {level + ' ' if level else ''}{kind} of a factory; see Component for the settings."
    return decorate


source = _decorator("source")
batch_step = _decorator("cleaner", "batch")
text_step = _decorator("cleaner", "text")
row_step = _decorator("cleaner", "row")
global_step = _decorator("cleaner", "global")
screen_step = _decorator("cleaner", "screen")
format_ = _decorator("format")
check = _decorator("check")
provider = _decorator("provider")
grader = _decorator("grader")
gate = _decorator("gate")
engine = _decorator("engine")
