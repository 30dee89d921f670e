"""Whether a component is what core can work with, told before a spec names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from ftspec.common.errors import PluginError
from ftspec.common.faults import kind_of
from ftspec.common.wording import every
from ftspec.contracts.components import Component
from ftspec.contracts.provider import Method, Provider
from ftspec.layout.shapes import Shape

MISTYPED = re.compile(r"Expected `[^`]*`, got |Invalid enum value ")
"""How msgspec says that a value is of another type, and not that it is out of bounds."""


def verify(component: Component) -> None:
    """Build the options, and hold their defaults to their types. Raises PluginError.

    Of a provider also that its class has what core asks of it. A default may be out of the bounds of its option,
    which says that it stands for something else."""
    try:
        _ = component.schema
    except TypeError as error:  # a type that JSON has nothing for
        reason = str(error).strip().rpartition("\n")[2]
        raise PluginError(f"{component.kind} '{component.name}': its options have no JSON Schema: {reason}") from error
    for field in msgspec.structs.fields(component.options):
        if field.default is not msgspec.NODEFAULT and (said := _mistyped(field.default, field.type)):
            raise PluginError(f"{component.kind} '{component.name}': the default of option '{field.name}': {said}")
    if component.kind == "provider":
        _verify_provider(component.name, component.factory)


def _mistyped(default: Any, type_: Any) -> str:
    """What is wrong with the type of a default, "" where nothing is."""
    try:
        msgspec.convert(msgspec.to_builtins(default), type_)
    except msgspec.ValidationError as error:
        return str(error) if MISTYPED.match(str(error)) else ""
    except TypeError as error:
        return str(error)
    return ""


def _verify_provider(name: str, factory: Any) -> None:
    """Raise PluginError where a provider's class lacks what all have. Two facts may be each instance's own."""
    if not isinstance(factory, type):
        raise PluginError(f"provider '{name}' is {kind_of(factory)}; a class is wanted")
    needed = {*Provider.__annotations__, *vars(Provider)} - {"endpoint", "submission"}
    lacking = sorted(one for one in needed if not one.startswith("_") and not hasattr(factory, one))
    if lacking:
        raise PluginError(f"provider '{name}' has no {every(lacking)}: it must follow the protocol api.Provider")
    methods: Any = getattr(factory, "methods", None)
    if not isinstance(methods, Mapping) or not all(isinstance(one, Method) for one in methods.values()) or not methods:
        raise PluginError(f"provider '{name}': its 'methods' must map names of training methods to api.Method")
    for method, one in methods.items():
        if said := _odd(one):
            raise PluginError(f"provider '{name}', method '{method}': {said}")


def _odd(method: Method) -> str:
    """What is wrong with a method, "" where nothing is."""
    for name, struct in (("hyperparameters", method.hyperparameters), ("options", method.options)):
        if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
            return f"its {name} are {kind_of(struct)}; a class is wanted that derives from msgspec.Struct"
    if method.data not in get_args(Shape):
        return f"there is no shape of rows '{method.data}': there are {', '.join(get_args(Shape))}"
    unknown = [one for one in method.shapes_data if one not in method.hyperparameters.__struct_fields__]
    return f"shapes_data names {every(unknown)}, which is no hyperparameter of it" if unknown else ""
