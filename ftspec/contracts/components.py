"""Components: what a spec can name. A component is a factory (options in, callable out) with a name, options and docs.

Annotations become the JSON Schema of the options, defaults become defaults, the docstring becomes the description;
nothing is called and nothing heavy imported until a spec that names the component is run. The decorators that make one
are in decorators, what factories return in steps, graders and engine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import msgspec

from ftspec.common.errors import FtspecError, PluginError
from ftspec.common.evaluation import Needs
from ftspec.common.faults import defined, kind_of, raised
from ftspec.common.wording import with_article
from ftspec.contracts.options import TextColumns
from ftspec.contracts.provider import Method
from ftspec.contracts.tuner import Tuner
from ftspec.layout.shapes import Shape

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

Clash = tuple[tuple[str | int, ...], str]
"""(path within the options, message): what does not go together."""

Rule = Callable[[Mapping[str, Any]], Iterable[Clash]]
"""Sees all options, defaults filled in and every Path absolute, and yields what does not go together."""


class Settings(TypedDict, total=False):
    """What an author may say of a component beside its factory; `Component` says what each is."""

    name: str
    rules: Sequence[Rule]
    revision: int
    dependencies: Sequence[str]
    install: str
    private: bool
    data: Shape | None
    code: Sequence[str]
    reads: Callable[[Mapping[str, Any]], Iterable[str]] | None
    needs: Callable[[Mapping[str, Any]], Needs] | None
    packages: Callable[[Mapping[str, Any]], Mapping[str, str]] | None
    experimental: str


class Component:
    """A factory that a spec can name.

    Args:
        kind: where in the spec it may stand.
        factory: a function, or for a provider a class, whose keyword-only parameters are the options.
        level: of a cleaner: batch, text, row, global or screen.
        name: what a spec calls it; the factory's own name, without a trailing underscore, when not given. A plugin's
            hook has the last word: the name that it offers the component under.
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
        **settings: Unpack[Settings],
    ) -> None:
        for name in ("rules", "dependencies", "code"):
            if isinstance(settings.get(name, ()), str):
                raise TypeError(f"the setting '{name}' of a {kind} is a list, and not one text")
        if unknown := settings.keys() - Settings.__annotations__.keys():
            raise TypeError(f"a {kind} has no setting {', '.join(sorted(unknown))}")
        self.kind: Kind = kind
        self.factory = factory
        self.level: Level = level
        self._settings = settings
        self.name = settings.get("name") or factory.__name__.rstrip("_")
        self.rules = tuple(settings.get("rules", ()))
        self.revision = settings.get("revision", 1)
        self.dependencies = tuple(settings.get("dependencies", ()))
        self.install = settings.get("install", "")
        self.experimental = settings.get("experimental", "")
        self.private = settings.get("private", False)
        self.code = tuple(settings.get("code", ()))
        self.reads = self._held("reads", settings.get("reads"), Iterable)
        self.needs = self._held("needs", settings.get("needs") or _nothing, Needs)
        self.packages = self._held("packages", settings.get("packages"), Mapping)
        self.data: Shape | None = settings.get("data") or ("chat" if kind == "format" else None)

    def _held(self, name: str, function: Callable[..., Any] | None, wanted: type) -> Any:
        """The function of a setting, which tells of a fault in it."""

        def call(options: Mapping[str, Any]) -> Any:
            assert function is not None
            try:
                found = function(options)
            except FtspecError:
                raise
            except Exception as error:
                said = f"{type(error).__name__}: {error}{raised(error, self.factory.__module__)}"
                raise PluginError(f"{TITLES[self.kind]} '{self.name}': its setting '{name}' failed: {said}") from error
            if not isinstance(found, wanted):
                said = f"returned {kind_of(found)}; {with_article(wanted.__name__)} is wanted"
                raise PluginError(f"{TITLES[self.kind]} '{self.name}': its setting '{name}' {said}{defined(function)}")
            return found

        return call if function else None

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"

    def called(self, name: str) -> Component:
        """The same component under this name."""
        if name == self.name:
            return self
        settings: Settings = {**self._settings, "name": name}
        return Component(self.kind, self.factory, level=self.level, **settings)

    @property
    def description(self) -> str:
        return inspect.getdoc(self.factory) or ""

    @property
    def summary(self) -> str:
        return self.description.partition("\n")[0]

    @cached_property
    def options(self) -> type[msgspec.Struct]:
        """The options as a msgspec Struct: one field per keyword-only parameter of the factory."""
        taken = [(parameter, type_) for parameter, type_ in self._parameters if parameter.name != self.asks_tuner]
        fields = [_field(parameter, type_) for parameter, type_ in taken]
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
    def sees_all(self) -> bool:
        """Whether it looks at other rows than the one: rows of the evaluation do not go through such a step."""
        return self.level in ("global", "screen")

    @property
    def methods(self) -> Mapping[str, Method]:
        """Of a provider: what it takes per training method."""
        methods: Mapping[str, Method] = getattr(self.factory, "methods", {})
        return methods

    @property
    def needed(self) -> list[str]:
        """The options without a default: where there are some, the bare name is not enough."""
        return [field.encode_name for field in msgspec.structs.fields(self.options) if field.required]

    @cached_property
    def asks_tuner(self) -> str:
        """The parameter that is no option but the `Tuner`, "" where there is none: then the model counts too."""
        return next((parameter.name for parameter, type_ in self._parameters if type_ is Tuner), "")

    @cached_property
    def code_digest(self) -> str:
        """sha256 of the modules that define the factory and what it is made of: changed code is a changed step.

        Raises PluginError where `code` names what is not there: a digest without it would hide its changes."""
        sources = [getattr(sys.modules.get(self.factory.__module__), "__file__", None), *map(self._source, self.code)]
        texts = [Path(source).read_bytes() for source in sources if source]
        return hashlib.sha256(b"".join(texts)).hexdigest()[:16] if texts else ""

    def _source(self, module: str) -> str | None:
        """The file of a module, which is not imported for that."""
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise PluginError(f"{self.kind} '{self.name}': code names '{module}', which is not there")
        return found.origin if found.has_location else None

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
        """Call the factory. Text steps lose `columns`, which core applies (see ftspec.data.stepping)."""
        arguments = self.convert(options)
        if self.asks_tuner:
            arguments[self.asks_tuner] = tuner or Tuner()
        if self.level == "text":
            arguments.pop("columns")
        return self.factory(**arguments)

    @cached_property
    def _parameters(self) -> list[tuple[inspect.Parameter, Any]]:
        """The factory's, each with its type."""
        found = list(inspect.signature(self.factory).parameters.values())
        for parameter in found:
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                raise PluginError(f"{self.kind} '{self.name}': parameter '{parameter.name}' must be keyword-only")
        return [(parameter, self._resolve(parameter)) for parameter in found]

    def _resolve(self, parameter: inspect.Parameter) -> Any:
        """One annotation at a time: a whole-function get_type_hints fails on names imported under TYPE_CHECKING."""
        if parameter.annotation is inspect.Parameter.empty:
            message = f"option '{parameter.name}' has no annotation, which says its type"
            raise PluginError(f"{self.kind} '{self.name}': {message}")
        if not isinstance(parameter.annotation, str):
            return parameter.annotation
        scope = vars(sys.modules[self.factory.__module__])
        try:
            # The text comes from the plugin's own source, which runs anyway.
            return eval(parameter.annotation, scope)  # noqa: S307
        except Exception as error:
            said = error.msg if isinstance(error, SyntaxError) else error
            raise PluginError(
                f"{self.kind} '{self.name}': annotation '{parameter.annotation}' of option '{parameter.name}': {said}"
            ) from error


def _field(parameter: inspect.Parameter, type_: Any) -> Any:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return (parameter.name, type_)
    if isinstance(default, list | dict | set):
        return (parameter.name, type_, msgspec.field(default_factory=lambda: type(default)(default)))
    return (parameter.name, type_, default)


def _nothing(options: Mapping[str, Any]) -> Needs:
    return Needs()
