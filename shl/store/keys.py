"""Keys: a hash of everything that decides a result, by its meaning.

Values count by their content.  Functions and classes of a user count by their code, constants,
defaults, closures, bases and the globals that they use.  What a library defines counts by its name
and its file, and this package by its own sources.  Anything else is rejected.
"""

import copyreg
import dis
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NoReturn

import numpy as np

from .._base.arrays import to_host
from .._base.devices import is_tensor
from .files import digest, hash_of

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), type(NotImplemented))
SAME_AS_PLAIN = (np.bool_, np.int64, np.float64, np.complex128, np.str_, np.bytes_)
OPEN, CLOSE = {list: "[", tuple: "(", set: "{", frozenset: "<"}, "]"
FUNCTION = ("__code__", "__defaults__", "__kwdefaults__", "__dict__")
CODE = ("co_code", "co_consts", "co_names", "co_flags", "co_exceptiontable")
CODE += ("co_argcount", "co_posonlyargcount", "co_kwonlyargcount")
PARTS: dict[type, tuple[str, ...]] = {  # what decides the meaning of some kinds of object
    types.FunctionType: FUNCTION,
    types.CodeType: CODE,
    types.MethodType: ("__func__", "__self__"),
    types.BuiltinFunctionType: ("__self__", "__name__"),
    types.MethodWrapperType: ("__self__", "__name__"),
    types.MethodDescriptorType: ("__objclass__", "__name__"),
    types.WrapperDescriptorType: ("__objclass__", "__name__"),
    types.GetSetDescriptorType: ("__objclass__", "__name__"),
    types.MemberDescriptorType: ("__name__",),
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    np.ma.MaskedArray: ("data", "mask", "fill_value"),
    np.dtype: ("descr", "metadata"),
}
# Of a class: what does not change what it does, or stands in its other members.
IGNORED = {"__module__", "__doc__", "__qualname__", "__firstlineno__", "__dict__", "__weakref__"}
IGNORED |= {"__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"}
IGNORED |= {"__static_attributes__", "__dataclass_fields__", "__dataclass_params__"}
IGNORED |= {"__orig_bases__", "__parameters__", "_abc_impl"}
HEAP_TYPE, IMMUTABLE_TYPE = 1 << 9, 1 << 8  # flags of CPython
# The sources that decide the results of a sub-package; figures, commands and the store decide none.
LEARNING = ("_base", "coding", "images", "learning", "estimators", "metrics.py")
ANNEX = (*LEARNING, "experiments", "convolution", "annex", "datasets.py", "gabor.py", "classic.py")
USED: dict[str | None, tuple[str, ...]] = {
    "images": ("_base", "images"),
    "networks": ("_base", "networks"),
    "experiments": (*LEARNING, "experiments"),
    "convolution": (*LEARNING, "convolution"),
    "annex": ANNEX,
    None: (*ANNEX, "networks"),
}


def _read_sources(root):
    """{file or sub-package: the hashes of its sources}."""
    hashes: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        hashes.setdefault(place.parts[0], []).append((place.as_posix(), hash_of(path.read_bytes())))
    return hashes


# Read at once: the code that runs is that of now, also if a file is edited later.
SOURCES = _read_sources(Path(__file__).resolve().parents[1])


@functools.cache
def sources_of(package: str | None = None) -> str:
    """The hash of the sources that decide the results of a sub-package, or of all (None)."""
    return hash_of(repr([SOURCES[name] for name in USED[package]]).encode())


def key_of(parameters: Mapping, package: str | None = None) -> str:
    """Return the hash of parameters and of the sources that decide a result.

    Parameters
    ----------
    parameters : mapping
        Values of any kind that has a meaning: numbers, texts, arrays, containers, functions,
        classes and objects of these.  The order of a mapping does not count, and NumPy's default
        scalars count as Python's.
    package : str, default=None
        The sub-package of `shl` that makes the result.  If None, all its sources count.

    Returns
    -------
    key : str
        32 hexadecimal digits.

    Raises
    ------
    TypeError
        If a value has no meaning that a key can hold, such as a lock, an open file or a generator.

    Examples
    --------
    >>> key_of({"a": 1, "b": 2.0}) == key_of({"b": 2.0, "a": 1})
    True
    """
    try:
        text = _Writer().text({**parameters, "sources": sources_of(package)}, "")
    except RecursionError:
        raise ValueError("The parameters are nested too deeply for a key. Simplify them.") from None
    return hash_of(text.encode(errors="surrogatepass"))


class _Writer:
    """What writes values as texts that are equal for equal meanings alone."""

    def __init__(self):
        self._inside: list[Any] = []  # what is being written, from the outside in
        self._names: list[str] = []  # where it stands
        self._written: dict[int, tuple[Any, str]] = {}  # functions and classes

    def text(self, value: Any, name: object) -> str:
        """The text of a value, which stands under this name in what is being written."""
        kind = type(value)
        if kind in PLAIN:
            return repr(value)
        if kind in SAME_AS_PLAIN:
            return repr(value.item())
        for depth, outer in enumerate(reversed(self._inside)):
            if outer is value:
                return f"<{depth} up>"
        if id(value) in self._written:
            return self._written[id(value)][1]
        self._inside.append(value)
        self._names.append(str(name))
        try:
            text = self._write(value, kind)
        finally:
            self._inside.pop()
            self._names.pop()
        if isinstance(value, (type, types.FunctionType)):
            self._written[id(value)] = value, text
        return text

    def _write(self, value, kind):
        if kind in OPEN:
            texts = [self.text(item, n) for n, item in enumerate(value)]
            return OPEN[kind] + ",".join(texts if kind in (list, tuple) else sorted(texts)) + "]"
        if kind in (dict, types.MappingProxyType):
            items = (f"{self.text(k, k)}:{self.text(item, k)}" for k, item in value.items())
            return "{" + ",".join(sorted(items)) + "}"
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__} {_file_hash(value.__name__)}"
        if isinstance(value, PurePath):
            return f"path {str(value)!r}"
        if (text := _name_of(value)) is not None:
            return text
        if isinstance(value, type):
            return self._write_class(value)
        if is_tensor(value):
            value, kind = to_host(value.detach()), np.ndarray
        if kind in (np.ndarray, np.memmap) or isinstance(value, np.generic):
            return self._write_array(np.asarray(value))
        return self._write_object(value, kind)

    def _write_array(self, array):
        if array.dtype.hasobject:
            return f"objects {array.shape} {self.text(array.tolist(), 'values')}"
        if array.ndim == 0 and array.dtype.type in SAME_AS_PLAIN:
            return repr(array.item())
        return f"array {self.text(array.dtype, 'dtype')} {digest(array)}"

    def _write_class(self, kind):
        """A class of a user: its bases and its members."""
        members = {name: member for name, member in vars(kind).items() if name not in IGNORED}
        about = {"kind": type(kind), "bases": kind.__bases__, "members": members}
        return f"class {kind.__qualname__} {self.text(about, kind.__name__)}"

    def _write_object(self, value, kind):
        """Anything else: its class, its parts, its attributes, and what pickle would take."""
        about = {"class": kind}
        known = next((base for base in kind.__mro__ if base in PARTS), None)
        if known is not None:
            about |= {name: getattr(value, name, None) for name in PARTS[known]}
        if known is types.FunctionType:
            about |= {"closure": [_content(cell) for cell in value.__closure__ or ()]}
            about |= {"globals": _globals_of(value)}
        elif hasattr(value, "py_func"):  # compiled by numba
            about |= {"py_func": value.py_func}
        elif hasattr(value, "__wrapped__"):  # such as by functools.cache
            about |= {"__wrapped__": value.__wrapped__}
        elif isinstance(value, np.ufunc):
            self._refuse(value)
        elif known is None or known is not kind:
            attributes = _attributes_of(value, kind)
            about |= {"attributes": attributes}
            if attributes is None or (known is None and not _is_python(kind)):
                about |= {"state": self._reduce(value, kind)}
        return f"object {self.text(about, kind.__name__)}"

    def _reduce(self, value, kind):
        """What pickle would make the object again from."""
        try:
            found = copyreg.dispatch_table.get(kind, lambda value: value.__reduce_ex__(2))(value)
        except Exception:  # of any kind: it has no meaning outside of this process
            self._refuse(value)
        if isinstance(found, str):
            return found
        made_by, arguments, *state = (*found, None, None, None)[:5]
        return [made_by, arguments, *(list(s) if isinstance(s, Iterator) else s for s in state)]

    def _refuse(self, value: Any) -> NoReturn:
        where = ".".join(filter(None, self._names[1:])) or "a parameter"
        raise TypeError(
            f"{where} is {value!r}, of which no key can be made: its type "
            f"{type(value).__name__} has no content that decides a result. Use functions, classes, "
            f"arrays or plain values instead, or cache_dir=None."
        )


def _content(cell):
    """The content of a closure's cell."""
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return "empty cell"


def _globals_of(function):
    """{name: value} of the globals that a function and those inside it use."""
    codes, names = [function.__code__], set()
    while codes:
        code = codes.pop()
        codes += [part for part in code.co_consts if isinstance(part, types.CodeType)]
        used = (step for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
        names |= {step.argval for step in used}
    return {name: function.__globals__[name] for name in names & function.__globals__.keys()}


def _attributes_of(value, kind):
    """{name: value} of attributes and slots; without what a property computed once.  None if the
    object can have none.
    """
    members = {name: member for base in kind.__mro__[::-1] for name, member in vars(base).items()}
    slots = [name for name, member in members.items() if type(member) is types.MemberDescriptorType]
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    made = {name for name in found if isinstance(members.get(name), functools.cached_property)}
    has_none = not hasattr(value, "__dict__") and "__slots__" not in members
    return None if has_none else {name: found[name] for name in found if name not in made}


def _is_python(kind):
    """Whether a class and all its bases are written in Python: they hide no state."""
    flags = [base.__flags__ for base in kind.__mro__[:-1]]
    return all(flag & HEAP_TYPE and not flag & IMMUTABLE_TYPE for flag in flags)


def _name_of(value):
    """The name of what a library defines, with the hash of its file; None for anything else."""
    module = getattr(value, "__module__", None) or ("numpy" if isinstance(value, np.ufunc) else "")
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not _is_library(module):
        return None
    found = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not value:
        return None
    # This package counts by its sources: a class keeps its key when its module moves.
    ours = module.partition(".")[0] == "shl"
    return f"shl {name}" if ours else f"{module}.{name} {_file_hash(module)}"


def _top_and_file(module):
    """(the package of a module, its file, "" for none)."""
    return module.partition(".")[0], getattr(sys.modules.get(module), "__file__", None) or ""


def _is_library(module):
    """Whether a module is Python's, this package's or an installed one."""
    top, file = _top_and_file(module)
    is_installed = "site-packages" in file or "dist-packages" in file
    return top == "shl" or top in sys.stdlib_module_names or is_installed


@functools.cache
def _file_hash(module):
    """The hash of a module's file; nothing for Python's own, this package's and folders."""
    top, file = _top_and_file(module)
    is_known = top in ("shl", "__main__") or top in sys.stdlib_module_names
    return "" if is_known or not file else hash_of(Path(file).read_bytes())


__all__ = ["key_of", "sources_of"]
