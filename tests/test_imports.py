from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import unroll

pytestmark = pytest.mark.slow

PACKAGE = Path(unroll.__file__).parent
FLOORS = (
    {"__main__", "commands"},
    {"estimators", "serving"},
    {"tasks"},
    {"generation"},
    {"training", "inspect"},
    {"models", "data", "runs", "manifest", "lock", "weights"},
    {"layers"},
    {"ops"},
    {"errors", "atomic_write", "options", "safe_yaml"},
)
NEIGHBOURS = {
    ("estimators", "serving"),
    ("models", "data"),
    ("runs", "lock"),
    ("runs", "manifest"),
    ("runs", "weights"),
    ("atomic_write", "errors"),
    ("options", "errors"),
    ("safe_yaml", "atomic_write"),
    ("safe_yaml", "errors"),
}
"""Imports between rooms of one floor: from, to."""
FLOOR = {room: len(FLOORS) - i for i, rooms in enumerate(FLOORS) for room in rooms}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_unroll_imports_nothing_heavy() -> None:
    loaded = run(
        "import unroll, sys; print([m for m in ('torch', 'numpy', 'sklearn', 'lightning') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_a_layer_costs_torch_and_no_more() -> None:
    heavy = "('sklearn', 'lightning', 'datasets', 'tokenizers', 'matplotlib', 'torchmetrics', 'pandas')"
    assert run(f"import unroll, sys; unroll.LSTM; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_help_needs_no_torch() -> None:
    code = "import sys; from unroll.__main__ import main\ntry:\n main({!r})\nexcept SystemExit: pass\n"
    for arguments in (["--help"], ["fit", "classification", "--help"], ["predict", "--help"]):
        out = run(code.format(arguments) + "print('torch' in sys.modules)")
        assert out.endswith("False"), arguments


def test_the_public_list_is_what_can_be_had() -> None:
    assert sorted(unroll.__all__) == sorted(set(unroll._HOMES) | {"__version__"})
    for name in unroll.__all__:
        assert getattr(unroll, name) is not None


def modules() -> dict[str, Path]:
    return {
        ".".join(("unroll", *file.relative_to(PACKAGE).with_suffix("").parts)): file for file in PACKAGE.rglob("*.py")
    }


def imports(file: Path, known: dict[str, Path]) -> set[str]:
    """The package's modules that a file imports, within functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "unroll":
            found |= {name if (name := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return found


def test_an_import_goes_down_or_to_a_named_neighbour() -> None:
    known = modules()
    sideways = set()
    for name, file in known.items():
        room = name.split(".")[1]
        for other in imports(file, known) if room != "__init__" else ():
            neighbour = other.split(".")[1] if "." in other else "__init__"
            assert neighbour != "__init__" or room == "__main__", f"{name} imports the package itself"
            if neighbour == "__init__":
                continue
            assert FLOOR[neighbour] <= FLOOR[room], f"{name} imports {other}"
            if neighbour != room and FLOOR[neighbour] == FLOOR[room]:
                sideways.add((room, neighbour))
    assert sideways == NEIGHBOURS


def test_there_are_no_circles() -> None:
    known = modules()
    graph = {name: imports(file, known) & known.keys() for name, file in known.items() if not name.endswith("__init__")}
    order: list[str] = []
    open_, done = [], set()

    def visit(name: str) -> None:
        assert name not in open_, f"a circle: {' -> '.join([*open_[open_.index(name) :], name])}"
        if name in done:
            return
        open_.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        open_.pop()
        done.add(name)
        order.append(name)

    for name in sorted(graph):
        visit(name)
    assert len(order) >= len(graph)


def test_no_file_is_longer_than_500_lines() -> None:
    for file in PACKAGE.rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        written_by_a_program = len(lines) > 2 and "do not edit" in lines[0]
        assert len(lines) <= 500 or written_by_a_program, file


def test_nothing_is_pickled() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            assert not {"pickle", "dill", "joblib", module} & {"pickle", "dill", "joblib"} & {*names, module}, file
