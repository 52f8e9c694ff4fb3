"""Tell whether a result is certain to be the same as an earlier one.

Extraction and cross-validation follow one rule: a result is kept only if all code
behind it belongs to this package or to an installed one. What a function of the user
computes is never kept, because nobody can know what it depends on.
"""

import ast
import hashlib
import io
import pickle
import re
import site
import sys
import sysconfig
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from gtzan_mfcc._util import package_versions

_FOLDER = Path(__file__).parent
# Read now, because a file may change after it was imported.
_SOURCES = {path.stem: path.read_text("utf-8") for path in _FOLDER.glob("*.py")}


class UnknownCodeError(Exception):
    """Raised for code that may not be the same when a result is read again."""


def digest(content):
    """Hash content whose text is exact, such as lists of texts and numbers."""
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def identity(value):
    """Hash a value, such as a function with its settings, and the code behind it.

    A function or class of this package counts with all of its module that it uses, one
    of another package with the version. Raises an UnknownCodeError if the value
    contains code of the user, or cannot be pickled.
    """
    content = io.BytesIO()
    pickler = _Pickler(content)
    try:
        pickler.dump(value)
    except Exception as error:  # An object may fail in any way.
        raise UnknownCodeError(str(error)) from error
    return digest([content.getvalue(), sorted(pickler.code)])


def code_of_modules(names):
    """Hash the code of modules of this package, without comments and docstrings."""
    return digest([list(_statements(name).items()) for name in names.split()])


class _Pickler(pickle.Pickler):
    """Pickle a value, and collect the code of its functions and classes."""

    def __init__(self, file):
        super().__init__(file)
        # Write an object that occurs twice as if it were two that are equal.
        self.fast = True
        self.code = set()

    def reducer_override(self, value):
        if hasattr(value, "get_config") and not isinstance(value, type):
            # It would be pickled with the names of its layers, without their code.
            raise UnknownCodeError("a Keras object")
        module = getattr(value, "__module__", None)
        if callable(value) and module:
            if module.startswith("gtzan_mfcc."):
                self.code.add(_code(module, getattr(value, "__name__", "")))
            else:
                self.code.add(_version(module))
        return NotImplemented


# Reading the files of all installed packages takes a while.
_distributions = cache(packages_distributions)


@cache
def _version(module):
    """Return the version of an installed module; raise an error for any other."""
    package = module.partition(".")[0]
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    places = [
        sysconfig.get_path("stdlib"),
        *site.getsitepackages(),
        site.getusersitepackages(),
    ]
    if module in sys.builtin_module_names or any(map(path.is_relative_to, places)):
        if package in sys.stdlib_module_names:
            return sys.version
        distributions = _distributions().get(package)
        if distributions:
            return repr(package_versions(" ".join(distributions)))
    raise UnknownCodeError(module)


def _code(module, name):
    """Hash a function or class of this package, and all of its module that it uses."""
    statements = _statements(module.rpartition(".")[2])
    used = {}
    to_do = [name, ""]
    while to_do:
        name = to_do.pop()
        if name in statements and name not in used:
            used[name] = statements[name]
            to_do += re.findall(r"Name\(id='(\w+)'", statements[name])
    return digest(sorted(used.items()))


def _statements(module):
    """Describe the top-level statements of a module by the names that they define."""
    path = _FOLDER / f"{module}.py"
    if path.read_text("utf-8") != _SOURCES[module]:
        raise UnknownCodeError(f"{path} has changed since it was imported.")
    return _parsed(_SOURCES[module])


@cache
def _parsed(source):
    statements = {}
    for node in _WithoutDocstrings().visit(ast.parse(source)).body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name))
            ):
                pass
            case _:
                name = ""  # Imports, for example: all of the module may use them.
        statements[name] = statements.get(name, "") + ast.dump(node)
    return statements


class _WithoutDocstrings(ast.NodeTransformer):
    """Remove docstrings, and other constants that do nothing."""

    def visit_Expr(self, node):
        return None if isinstance(node.value, ast.Constant) else node
