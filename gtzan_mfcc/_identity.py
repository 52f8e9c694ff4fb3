"""Tell whether a result is certain to be the same as an earlier one.

Both caches follow one rule: a result is kept only if all code behind it belongs to this
package or to an installed one. What a function of the user computes is never kept,
because nobody can know what it depends on.
"""

import ast
import hashlib
import io
import pickle
import re
import site
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from gtzan_mfcc._util import package_versions

_FOLDER = Path(__file__).parent
# Read now, because a file may change after it was imported.
_SOURCES = {path.stem: path.read_text("utf-8") for path in _FOLDER.glob("*.py")}


class UnknownCodeError(Exception):
    """Raised for code that may not be the same when a result is read again."""


def digest(content: object) -> str:
    """Hash content whose text is exact, such as lists of texts and numbers."""
    text = repr(content).encode(errors="surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def identity(value: object) -> str:
    """Hash a value, such as a function with its settings, and the versions behind it.

    The code of this package is not included: see `code_of_modules` and
    `code_of_function`. Raises an UnknownCodeError if the value contains code of the
    user, or cannot be pickled.
    """
    content = io.BytesIO()
    pickler = _Pickler(content)
    try:
        pickler.dump(value)
    except (pickle.PicklingError, TypeError, ValueError, AttributeError) as error:
        raise UnknownCodeError(str(error)) from error
    return digest([content.getvalue(), sorted(map(_version, pickler.modules))])


class _Pickler(pickle.Pickler):
    """Pickle a value, and collect the modules of its functions and classes."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        # Write an object that occurs twice as if it were two that are equal.
        self.fast = True
        self.modules = set()

    def reducer_override(self, value: object) -> object:
        """Collect modules; replace a Keras model by its layers and kept weights."""
        module = getattr(value, "__module__", None)
        if callable(value) and module:
            self.modules.add(module)
        if isinstance(value, type):
            return NotImplemented
        if hasattr(value, "to_json") and hasattr(value, "layers"):
            layers = value.to_json()
            if re.search('"class_name": "(function|__lambda__)"', layers):
                raise UnknownCodeError("a function in a Keras model")
            self.modules.update(re.findall('"module": "([^"]+)"', layers))
            weights = [weight.numpy() for weight in value.non_trainable_weights]
            return list, ([layers, weights],)
        return NotImplemented


@cache
def _version(module: str) -> str:
    """Return the version of an installed module; raise an error for any other."""
    package = module.partition(".")[0]
    if package == __name__.partition(".")[0]:
        return "this package"
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if any(path.is_relative_to(folder) for folder in installed):
        distributions = packages_distributions().get(package)
        if distributions:
            return repr(package_versions(" ".join(distributions)))
    elif path.is_relative_to(sysconfig.get_path("stdlib")):
        return sys.version
    elif path == Path() and package in sys.stdlib_module_names - {"__main__"}:
        return sys.version  # It is part of the interpreter.
    raise UnknownCodeError(module)


def code_of_modules(modules: str) -> str:
    """Hash the code of modules of this package, without comments and docstrings."""
    return digest([list(_statements(module).items()) for module in modules.split()])


def code_of_function(function: Callable) -> str:
    """Hash a function of this package, and all of its module that it uses."""
    statements = _statements(function.__module__.rpartition(".")[2])
    used = {}
    to_do = [function.__name__, "import"]
    while to_do:
        name = to_do.pop()
        if name in statements and name not in used:
            used[name] = statements[name]
            to_do += re.findall(r"Name\(id='(\w+)'", statements[name])
    return digest(sorted(used.items()))


def _statements(module: str) -> dict[str, str]:
    """Describe the top-level statements of a module by the names that they define."""
    path = _FOLDER / f"{module}.py"
    if path.read_text("utf-8") != _SOURCES[module]:
        raise UnknownCodeError(f"{path} has changed since it was imported.")
    return _parsed(_SOURCES[module])


@cache
def _parsed(source: str) -> dict[str, str]:
    tree = ast.parse(source)
    statements = {}
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A docstring, or another text that does nothing.
            node.body = [each for each in body if not _is_text(each)]
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = ["import"]
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        else:
            stored = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
            names = [each.id for each in stored if isinstance(each.ctx, ast.Store)]
        for name in names or ["other"]:
            statements[name] = statements.get(name, "") + ast.dump(node)
    return statements


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
