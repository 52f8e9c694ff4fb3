"""Imports between the modules, docstrings, examples, types, and size of the code."""

import ast
import doctest
import importlib
import inspect
import re
import subprocess
import sys
import tokenize
from graphlib import TopologicalSorter

import matplotlib.pyplot as plt
import pytest

import gtzan_mfcc
from conftest import PROJECT

TREES = {
    path.stem: ast.parse(path.read_text()) for path in PROJECT.glob("gtzan_mfcc/*.py")
}
# Helpers that no notebook introduces: they are used by other helpers and commands.
NO_NOTEBOOK = re.compile(r".*_(corpus|track)$|(build|project|snapshots)_dir")


def test_the_imports_of_the_modules_make_no_circle():
    imports = {name: set() for name in TREES}
    for name, tree in TREES.items():
        for node in ast.walk(tree):  # Includes imports in functions.
            if isinstance(node, ast.ImportFrom):
                package, _, module = node.module.partition(".")
                if package == "gtzan_mfcc":
                    names = [module] if module else [each.name for each in node.names]
                    imports[name].update(names)
    assert "extraction" in TopologicalSorter(imports).static_order()


def loaded_by(names):
    code = f"import sys; from gtzan_mfcc import {names}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return set(subprocess.check_output(command, text=True).split())


def test_nobody_waits_for_what_is_not_used():
    assert not {"librosa", "numpy", "tensorflow"} & loaded_by("__name__")
    assert not {"librosa", "tensorflow"} & loaded_by("dataset, splits, metrics")
    assert "keras" not in loaded_by("validation, extraction, notebook, plots")


def public_helpers(module):
    """List the functions and classes that a module defines for users."""
    for name, value in vars(module).items():
        is_helper = inspect.isfunction(value) or inspect.isclass(value)
        if is_helper and value.__module__ == module.__name__ and name[0] != "_":
            yield value


@pytest.mark.parametrize("name", gtzan_mfcc.__all__)
def test_each_public_helper_has_an_example_and_names_its_notebook(name):
    notebooks = {path.stem for path in PROJECT.glob("notebooks/*.ipynb")}
    for helper in public_helpers(importlib.import_module(f"gtzan_mfcc.{name}")):
        if issubclass(type(helper), type) and issubclass(helper, Exception):
            continue
        assert ">>> " in helper.__doc__, helper
        if not NO_NOTEBOOK.match(helper.__name__):
            named = re.findall(r"[Nn]otebook\s+``(\w+)``", helper.__doc__)
            assert named, helper
            assert set(named) <= notebooks


def public_functions(node):
    """List the functions of a module and the methods of its classes that are public."""
    for each in node.body:
        name = getattr(each, "name", "_")
        is_public = name[0] != "_" or name == "__init__"
        if is_public and isinstance(each, ast.ClassDef):
            yield from public_functions(each)
        elif is_public and isinstance(each, ast.FunctionDef):
            yield each


@pytest.mark.parametrize("name", gtzan_mfcc.__all__)
def test_public_functions_have_the_types_of_all_parameters_and_of_the_result(name):
    for function in public_functions(TREES[name]):
        assert function.returns, function.name
        for argument in ast.walk(function.args):
            if isinstance(argument, ast.arg) and argument.arg not in ("self", "cls"):
                assert argument.annotation, (function.name, argument.arg)


@pytest.mark.parametrize("name", gtzan_mfcc.__all__)
def test_the_examples_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    result = doctest.testmod(
        importlib.import_module(f"gtzan_mfcc.{name}"),
        optionflags=doctest.NORMALIZE_WHITESPACE,
    )
    plt.close("all")
    assert result.attempted
    assert not result.failed
    assert not list(tmp_path.iterdir())


LAYOUT = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENCODING", "ENDMARKER"}


def size(path):
    """Count the tokens and lines of a file without docstrings, comments and layout."""
    docstrings = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                docstrings.update(range(first.lineno, first.end_lineno + 1))
    tokens = 0
    lines = set()
    f_strings = 0  # Python 3.12 divides them; here, each counts as one token.
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            name = tokenize.tok_name[token.type]
            if name in LAYOUT or token.start[0] in docstrings:
                continue
            lines.update(range(token.start[0], token.end[0] + 1))
            if name == "FSTRING_END":
                f_strings -= 1
                continue
            if f_strings == 0:
                tokens += 1
            if name == "FSTRING_START":
                f_strings += 1
    return tokens, len(lines)


@pytest.mark.parametrize(
    ("folder", "most_tokens", "most_tokens_per_line"),
    [("gtzan_mfcc", 29_150, 9.0), ("tests", 55_700, 10.5)],
)
def test_the_code_is_small_and_not_packed(folder, most_tokens, most_tokens_per_line):
    sizes = [size(path) for path in (PROJECT / folder).rglob("*.py")]
    tokens, lines = map(sum, zip(*sizes))
    assert tokens <= most_tokens
    assert tokens / lines <= most_tokens_per_line
