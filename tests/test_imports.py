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


def test_no_import_goes_up() -> None:
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("unroll."):
                other = node.module.split(".")[1]
                assert FLOOR[other] <= FLOOR[room], f"{file.name} imports {node.module}"


def test_no_file_is_longer_than_500_lines() -> None:
    for file in PACKAGE.rglob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 500, file


def test_nothing_is_pickled() -> None:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            assert not {"pickle", "dill", "joblib", module} & {"pickle", "dill", "joblib"} & {*names, module}, file
