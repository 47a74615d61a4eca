"""Python leaves: functions by reference, on numpy values.

    comp#fedavg:local_update      module:qualname, and the digest of what is expected there

Code is never shipped.  The function must be installed, or importable, where it runs; the
digest covers its module's bytes, its qualified name, its types, and the distribution's name
and version, so both sides run the same function or neither does.

Inside, values are numpy arrays and containers of them, and a sequence is a fresh iterator
for each use.  A result is checked against the declared type and never cast.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tierfed.errors import CompileError, LeafError, TierfedError
from tierfed.ir.nodes import Compiled, Leaf
from tierfed.types import FunctionType, StructType
from tierfed.types.values import check, present_lazily

KIND = "py"

_registered: dict[tuple[str, str], Callable[..., Any]] = {}


def reference(fn: Callable[..., Any], t: FunctionType, arity: int) -> Compiled:
    """Return `fn` as a leaf of type `t` that takes `arity` arguments, and remember it in this process."""
    name = f"{fn.__module__}:{fn.__qualname__}"
    leaf = Leaf(KIND, name, digest(fn, t), str(arity).encode())
    _registered[name, leaf.digest] = fn
    return Compiled(leaf, t)


def digest(fn: Callable[..., Any], t: FunctionType) -> str:
    """Return the SHA-256, in hex, of what makes `fn` this function and no other.

    A function whose module has no file (a notebook, a prompt) is told apart by its own code.
    """
    module = sys.modules.get(fn.__module__)
    content = _module_bytes(module)
    hashed = hashlib.sha256()
    for part in (
        content if content is not None else fn.__code__.co_code + repr(fn.__code__.co_consts).encode(),
        fn.__qualname__.encode(),
        str(t).encode(),
        _distribution(fn.__module__).encode(),
    ):
        hashed.update(len(part).to_bytes(8, "little") + part)
    return hashed.hexdigest()


_contents: dict[str, tuple[object, bytes]] = {}  # by path: what the module was imported by, and the file then


def _module_bytes(module: ModuleType | None) -> bytes | None:
    """Return the file of `module` as it was when first asked for since the import: a reload reads it again.

    A file that has changed since is not what runs here, so it must not be what the digest is of.
    """
    path = getattr(module, "__file__", None)
    if path is None:
        return None
    spec = getattr(module, "__spec__", None)
    known = _contents.get(path)
    if known is None or known[0] is not spec:  # each import and reload has a spec of its own
        try:
            known = _contents[path] = (spec, Path(path).read_bytes())
        except OSError:
            return None
    return known[1]


@functools.cache
def _distribution(module: str) -> str:
    """Return the name and version of the distribution that has `module`, nothing if none has."""
    top = module.partition(".")[0]
    if top in ("__main__", "__mp_main__"):
        return ""
    names = sorted(set(_distributions().get(top, ())))
    return ",".join(f"{name}=={importlib.metadata.version(name)}" for name in names)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def deployable(leaf: Compiled) -> None:
    """Raise CompileError, with the mend, unless another process can import this leaf."""
    module, _, qualname = leaf.leaf.name.partition(":")
    where = f"leaf {leaf.leaf.name}"
    if "<" in qualname:
        kind = "a lambda" if "<lambda>" in qualname else "a function inside a function"
        raise CompileError(
            f"{kind} cannot be found by another process",
            where=where,
            mend="define it at the top level of a module, and pass what it captured as an argument",
        )
    if _module_bytes(sys.modules.get(module)) is None:
        raise CompileError(
            f"the module {module} has no file that another process could import",
            where=where,
            mend="write the function to a module file and import it from there; "
            "in a notebook, %load_ext tierfed and begin the cell with %%tierfed_module NAME",
        )


def load(leaf: Compiled) -> Callable[..., Any]:
    """Return `leaf` as a function of one held value, or of none.

    Raises LeafError if it cannot be imported here, or is not the function that was meant.
    """
    fn = _registered.get((leaf.leaf.name, leaf.leaf.digest)) or _imported(leaf)
    return functools.partial(_run, leaf, fn)


def _imported(leaf: Compiled) -> Callable[..., Any]:
    module_name, _, qualname = leaf.leaf.name.partition(":")
    where = f"leaf {leaf.leaf.name}"
    if module_name == "__main__" and "__mp_main__" in sys.modules:
        module_name = "__mp_main__"  # a node's own main module is the daemon
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception as problem:
        raise LeafError(
            f"it cannot be imported here: {type(problem).__name__}: {problem}",
            where=where,
            mend="install its package on every node, or put its module beside the topology file",
            remote_traceback=traceback.format_exc(),
        ) from problem
    fn: Callable[..., Any] = getattr(found, "python_function", found)
    assert isinstance(leaf.of, FunctionType)
    if digest(fn, leaf.of) != leaf.leaf.digest:
        raise LeafError(
            "the function found here is not the one that the program names: its module, types or version differ",
            where=where,
            mend="install the same version on every node, and bring the tree up again after changing the file",
        )
    _registered[leaf.leaf.name, leaf.leaf.digest] = fn
    return fn


def _run(leaf: Compiled, fn: Callable[..., Any], *argument: Any) -> Any:
    """Call `fn` on held values and return its checked result, held."""
    name = leaf.leaf.name.partition(":")[2]
    given: tuple[Any, ...] = ()
    t = leaf.of
    if t.parameter is not None:
        many = leaf.leaf.content != b"1" and isinstance(t.parameter, StructType)
        parts = zip(argument[0], t.parameter.parts(), strict=True) if many else ((argument[0], t.parameter),)
        given = tuple(present_lazily(value, part) for value, part in parts)
    try:
        result = fn(*given)
    except (TierfedError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # sys.exit too: it would end the node, and GeneratorExit nothing but this call
        raise LeafError(
            f"raised {told(problem)}",
            where=f"leaf {name}",
            remote_traceback=traceback.format_exc(),
        ) from problem
    try:
        return check(result, t.result, f"the result of {name}")
    except TierfedError as bad:
        raise LeafError(bad.what, where=bad.where, mend=bad.mend) from bad


def told(problem: BaseException) -> str:
    """Return an exception as its class and what it says, if it says anything."""
    try:
        said = str(problem)
    except Exception:
        said = "(its __str__ raised)"
    return f"{type(problem).__name__}: {said}" if said else type(problem).__name__


def parameters_of(fn: Callable[..., Any], count: int) -> list[str]:
    """Return the names of the first `count` positional parameters of `fn`; those after them have defaults.

    Raises CompileError if it does not take so many.
    """
    positional = [
        p for p in inspect.signature(fn).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if not sum(p.default is p.empty for p in positional) <= count <= len(positional):
        names = ", ".join(p.name for p in positional)
        raise CompileError(
            f"the function has {len(positional)} parameter{'' if len(positional) == 1 else 's'}"
            f"{f' ({names})' if names else ''}, and {count} type{' was' if count == 1 else 's were'} given",
            mend="give the decorator one type for each parameter",
        )
    return [p.name for p in positional[:count]]
