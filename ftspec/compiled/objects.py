"""The object code of all kernels: compiled once on a machine, which takes seconds, kept, and loaded in milliseconds.

Numba makes LLVM's language of them, LLVM the object code. It is kept in the user's cache, by what made it and
for which processor, and loaded by LLVM alone: Numba is only imported to compile.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import Path
from types import FunctionType
from typing import Any

from ftspec.common import distributions
from ftspec.compiled import (
    characters,
    chatkernels,
    entitykernels,
    hashes,
    linekernels,
    scankernels,
    setkernels,
    wordkernels,
)
from ftspec.files import usercache

MODULES = (wordkernels, setkernels, scankernels, entitykernels, linekernels, chatkernels)
"""Each has kernels by their SIGNATURES, and the HELPERS that these call, some of them a module's before it."""
OURS = re.compile(r"[0-9a-f]{16}\.o")
"""Names of object code, which other versions may have left."""


def engine(compiles: bool) -> Any:
    """What has the kernels' addresses; None where they have not been compiled before and `compiles` is false.

    Raises whatever Numba and LLVM do, and where they are not installed.
    """
    import pyarrow as pa

    made_by = [*map(distributions.version, ("numba", "llvmlite")), pa.__version__, unicodedata.unidata_version]
    folder = usercache.folder("native")
    if not compiles and not any(folder.glob("*.o")):
        return None
    place = folder / f"{_digest(made_by)}.o"
    code = usercache.read(place)
    if code is None and compiles:
        code = compiled()
        usercache.write(place, code)
        usercache.forget(folder, OURS)
    return None if code is None else _loaded(code)


def compiled() -> bytes:
    """The object code, for this processor. Raises RuntimeError if it would need anything but itself: Numba gives its
    functions a part that raises Python's exceptions, which goes once LLVM sees that these raise none."""
    import llvmlite.binding as llvm
    import numba
    import numpy as np

    kinds = characters.kinds_of_all()[: characters.CASED]
    tables = {"np": np, "LOWERED": characters.lowered(), "KINDS": kinds, "PAGES": characters.pages()}
    machine = _machine()
    whole = llvm.parse_assembly("")
    helpers: dict[Any, Any] = {}
    for module in MODULES:
        scope = {**vars(module), **tables}
        for name in module.HELPERS:
            function = scope[name]
            if function not in helpers:
                helpers[function] = numba.njit(_in(scope, name), error_model="numpy")
            scope[name] = helpers[function]
        for name, signature in module.SIGNATURES.items():
            made = numba.cfunc(_type(signature), error_model="numpy")(_in(scope, name))
            whole.link_in(_optimised(made, name, machine))
    foreign = [each.name for each in whole.functions if each.is_declaration and not each.name.startswith("llvm.")]
    if foreign:
        raise RuntimeError(f"the kernels call {', '.join(foreign)}")
    code: bytes = machine.emit_object(whole)
    return code


def _optimised(made: Any, name: str, machine: Any) -> Any:
    """LLVM's module of a function that Numba has made, in which nothing but the function can be seen from outside."""
    import llvmlite.binding as llvm

    part = llvm.parse_assembly(made.inspect_llvm())
    for function in part.functions:
        if not function.is_declaration and function.name != made.native_name:
            function.linkage = "internal"
    part.get_function(made.native_name).name = name
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(part, builder)
    return part


def _in(scope: dict[str, Any], name: str) -> FunctionType:
    """A kernel that sees the compiled ones it calls."""
    return FunctionType(scope[name].__code__, scope, name)


def signatures() -> dict[str, str]:
    """Of all kernels: what each gives back, then what it takes."""
    return {name: signature for module in MODULES for name, signature in module.SIGNATURES.items()}


def _type(signature: str) -> Any:
    """Numba's type of a function: the result, then its arguments."""
    from numba import types

    kinds = {"number": types.int64, "nothing": types.void}
    pointers = {kind: types.CPointer(getattr(types, kind)) for kind in ("uint8", "int64", "uint32", "uint64")}
    result, *arguments = ((kinds | pointers)[kind] for kind in signature.split())
    return result(*arguments)


def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=3, jit=True)


def _loaded(code: bytes) -> Any:
    import llvmlite.binding as llvm

    made = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    made.add_object_file(llvm.ObjectFileRef.from_data(code))
    made.finalize_object()
    return made


def _digest(made_by: list[str]) -> str:
    import llvmlite.binding as llvm

    made_for = [llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    made_of = [Path(each.__file__ or "").read_text() for each in (*MODULES, hashes, characters)]
    return hashlib.sha256("\0".join([*made_of, *made_by, *made_for]).encode()).hexdigest()[:16]
