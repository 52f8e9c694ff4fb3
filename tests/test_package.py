"""Imports between the modules, notebooks named in docstrings, and the amount of code."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from graphlib import TopologicalSorter

import pytest

from conftest import PROJECT

TREES = {path.stem: ast.parse(path.read_text()) for path in PROJECT.glob("gtzan_mfcc/*.py")}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
# Helpers that no notebook introduces: they are used by other helpers and commands.
NO_NOTEBOOK = re.compile("_|.*_(corpus|track)$|(build|project|snapshots)_dir|check_genres")


def test_the_imports_of_the_modules_make_no_circle():
    imports = {name: set() for name in TREES}
    for name, tree in TREES.items():
        for node in ast.walk(tree):  # Includes imports in functions.
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gtzan_mfcc"):
                module = node.module.removeprefix("gtzan_mfcc").lstrip(".")
                imports[name] |= {module} if module else {alias.name for alias in node.names}
    assert "extraction" in TopologicalSorter(imports).static_order()


def loaded_by(names):
    code = f"import sys; from gtzan_mfcc import {names}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_nobody_waits_for_what_is_not_used():
    assert not {"librosa", "numpy", "tensorflow"} & loaded_by("__name__")
    assert "keras" not in loaded_by("evaluation, extraction, notebook, plots")


def test_each_public_helper_names_the_notebook_that_introduces_it():
    notebooks = {path.stem for path in PROJECT.glob("notebooks/*.ipynb")}
    for node in (node for name, tree in TREES.items() if name[0] != "_" for node in tree.body):
        if isinstance(node, ast.FunctionDef) and not NO_NOTEBOOK.match(node.name):
            named = re.findall(r"[Nn]otebook\s+``(\w+)``", ast.get_docstring(node))
            assert set() < set(named) <= notebooks, node.name


@pytest.mark.parametrize(("folder", "most"), [("gtzan_mfcc", 1_800), ("tests", 4_500)])
def test_there_is_little_code_without_docstrings_comments_and_blank_lines(folder, most):
    lines = 0
    for text in (path.read_text() for path in (PROJECT / folder).rglob("*.py")):
        code = set()
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.string.strip() and token.type != tokenize.COMMENT:
                code |= {*range(token.start[0], token.end[0] + 1)}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
                code -= {*range(node.body[0].lineno, node.body[0].end_lineno + 1)}
        lines += len(code)
    assert lines <= most
