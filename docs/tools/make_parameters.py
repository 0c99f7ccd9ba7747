"""Write the estimators' parameters for type checkers: `src/unroll/estimators/parameters.py`.

    python docs/tools/make_parameters.py [--check]

The estimators take their parameters from the options of the tasks, which a type checker does not see. `--check` writes
nothing and fails where the file is not what it would write.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import unroll
from unroll.tasks.registry import entry

FILE = Path(__file__).resolve().parents[2] / "src" / "unroll" / "estimators" / "parameters.py"
HEAD = '''"""Parameters of the estimators, for type checkers. Written by `docs/tools/make_parameters.py`: do not edit.

Longer than other files, since it lists every option once for each estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict
'''
ESTIMATORS = ("Classifier", "Regressor", "Tagger", "Translator", "Forecaster", "LanguageModel")


def annotation(hint: Any) -> str:
    """Write a type as source."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"Literal[{', '.join(repr(value) for value in inside)}]".replace("'", '"')
    if origin in (types.UnionType, typing.Union):
        return " | ".join(annotation(part) for part in inside)
    if origin is tuple:  # a list will do, and becomes one
        item = annotation(inside[0])
        return f"tuple[{item}, ...] | list[{item}]"
    if origin is Mapping:
        return f"Mapping[{', '.join('Any' if part is Any else annotation(part) for part in inside)}]"
    return "None" if hint is type(None) else hint.__name__


def source() -> str:
    """Write the whole file."""
    parts = [HEAD]
    for name in ESTIMATORS:
        estimator: Any = getattr(unroll, name)
        hints: dict[str, Any] = {"random_state": int | None, "verbose": bool}
        for group in entry(estimator._task_name).load_settings().groups():
            hints |= typing.get_type_hints(group)
        lines = [f"    {option}: {annotation(hints[option])}" for option in inspect.signature(estimator).parameters]
        parts.append(f'class {name}Parameters(TypedDict, total=False):\n    """Of `{name}`."""\n\n' + "\n".join(lines))
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv and FILE.read_text(encoding="utf-8") != source():
        sys.exit(f"{FILE} is out of date: run python docs/tools/make_parameters.py")
    FILE.write_text(source(), encoding="utf-8")
