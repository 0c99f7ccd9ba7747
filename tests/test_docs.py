from __future__ import annotations

import ast
import contextlib
import dataclasses
import doctest
import inspect
import io
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import unroll
from unroll.__main__ import COMMANDS, main, usage
from unroll.tasks.registry import TASKS
from unroll.training.diagnostics import ADVICE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*sorted(DOCS.rglob("*.md")), *READMES]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DURATION = re.compile(r"\d+ (?:rows|windows|tokens)/s|\d+ (?:s|min) left")
DECIMAL = re.compile(r"\d+\.\d+(?:e-?\d+)?")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(*pages: Path) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCED.findall(page.read_text(encoding="utf-8"))


def alike(expected: str, actual: str) -> bool:
    """The same words; decimals may differ by 0.05 or 5 %, since processors round differently; durations may be any."""
    sides = [DURATION.sub("", text).split("\n") for text in (expected.strip(), actual.strip())]
    if len(sides[0]) != len(sides[1]):
        return False
    for line, other in zip(*sides, strict=True):
        if DECIMAL.sub("0.0", line).split() != DECIMAL.sub("0.0", other).split():
            return False
        pairs = zip(DECIMAL.findall(line), DECIMAL.findall(other), strict=True)
        if any(abs(float(a) - float(b)) > max(0.05, 0.05 * float(a)) for a, b in pairs):
            return False
    return True


def run_doctests(text: str, found: list[re.Match[str]], names: dict[str, Any], page: Path) -> None:
    """Run blocks as one doctest: the page with all else blanked, so that line numbers stay true."""
    kept = list(re.sub(r"[^\n]", "", text).split("\n"))
    for block in found:
        first = text.count("\n", 0, block.start(2))
        kept[first : first + block[2].count("\n")] = block[2].splitlines()
    test = doctest.DocTestParser().get_doctest("\n".join(kept), names, page.name, str(page), 0)
    test.globs = names  # the parser makes a copy, but what comes later on the page uses the names too
    said = io.StringIO()
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.write, clear_globs=False)
    assert not said.getvalue(), said.getvalue()


def run_program(source: str, names: dict[str, Any], page: Path) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(source, str(page), "exec"), names)  # noqa: S102  # the page's own example
    return said.getvalue()


def run_console(source: str) -> None:
    """Each `$ unroll ...` of a block gives what follows it."""
    for command in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
        line, _, expected = command.replace("\\\n", " ").partition("\n")
        program, *arguments = shlex.split(line)
        assert program == "unroll", line
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main(arguments)
        assert alike(expected, said.getvalue()), f"$ {line}\n{said.getvalue()}"


@pytest.fixture(autouse=True)
def own_tasks() -> Iterator[None]:
    """A task that a page registers is gone afterwards."""
    known = set(TASKS)
    yield
    for name in set(TASKS) - known:
        del TASKS[name]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_example_gives_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are doctests, a program prints the `text` block after it, and `console` blocks are commands."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    text, said = page.read_text(encoding="utf-8"), None
    kinds = itertools.groupby(FENCED.finditer(text), lambda block: block[2].startswith(">>>"))
    for prompts, found in kinds:
        if prompts:
            run_doctests(text, list(found), names, page)
            continue
        for language, source in (block.groups() for block in found):
            if language == "python":
                said = run_program(source, names, page)
            elif language == "console":
                run_console(source)
            elif language == "text" and said is not None:
                assert alike(source, said), said
                said = None
    assert not said, f"{page.name} does not show what its last program prints: {said}"


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("accuracy 0.97", "accuracy  0.95", True),
        ("accuracy 0.97", "accuracy 0.91", False),
        ("loss 1.20  812 rows/s  1 s left", "loss 1.25  90 rows/s  11 s left", True),
        ("40 rows", "41 rows", False),
        ("40 rows\n", "40 rows\n41 rows", False),
    ],
)
def test_figures_are_compared_with_a_tolerance_and_words_without(expected: str, actual: str, same: bool) -> None:
    assert alike(expected, actual) is same


def test_every_public_name_is_in_the_reference() -> None:
    text = text_of(*(DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"^::: unroll\.(\w+)$", text, re.MULTILINE))
    assert named == set(unroll.__all__) - {"__version__"}
    assert "`__version__`" in text


def test_every_option_is_on_a_page() -> None:
    text = text_of(*PAGES)
    groups = {group for task in TASKS.values() for group in task.load_settings().groups()}
    names = sorted({field.name for group in groups for field in dataclasses.fields(group)})
    assert [n for n in names if not re.search(rf"`{n}[`=:]|--{n.replace('_', '-')}\b", text)] == []


def test_the_command_line_page_has_every_command() -> None:
    text = text_of(DOCS / "guides" / "command-line.md")
    assert usage() in text
    assert [name for name in COMMANDS if f"## unroll {name}" not in text] == []


def strings_of_the_source() -> Iterator[str]:
    for path in (ROOT / "src" / "unroll").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_warnings_page_has_every_trouble_of_training_and_quotes_what_is_printed() -> None:
    text = text_of(DOCS / "guides" / "warnings.md")
    quoted = re.findall(r"^### `([^`]+)`", text, re.MULTILINE)
    assert [name for name in ADVICE if not any(f"warning, {name}: " in quote for quote in quoted)] == []
    said = "\0".join(strings_of_the_source())
    fragments = {part.strip(" :,;") for quote in quoted for part in re.split(r"\.\.\.|warning, [a-z ]+:", quote)}
    assert sorted(part for part in fragments if part not in said) == []


def test_the_developing_page_has_the_floors_that_the_imports_keep_to() -> None:
    source = ast.parse((ROOT / "tests" / "test_imports.py").read_text(encoding="utf-8"))
    (floors,) = (
        node.value
        for node in source.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "FLOORS"
    )
    written = "\n".join(", ".join(sorted(rooms)) for rooms in ast.literal_eval(floors))
    assert f"```\n{written}\n```" in text_of(DOCS / "developing.md")


def test_the_developing_page_names_files_that_exist() -> None:
    named = re.findall(r"`([\w/]+(?:/|\.py|\.md|\.yml))`", text_of(DOCS / "developing.md"))
    homes = (ROOT, ROOT / "src" / "unroll", ROOT / "src" / "unroll" / "data")
    files = {path.name for path in (ROOT / "src").rglob("*.py")}
    assert len(named) > 20
    assert [name for name in named if name not in files and not any((home / name).exists() for home in homes)] == []


def test_every_page_is_in_the_site() -> None:
    listed = re.findall(r"- (?:\w+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a link that leads nowhere and an unknown name are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_reference_says_what_the_docstrings_say(site: Path) -> None:
    page = (site / "reference" / "layers.html").read_text(encoding="utf-8")
    assert all(f'id="unroll.{name}"' in page for name in ("LSTM", "GRU", "RNN"))
    assert "bidirectional" in page


def test_the_benchmarks_page_has_every_result_and_recipe(site: Path) -> None:
    page = (site / "benchmarks.html").read_text(encoding="utf-8")
    assert "<!-- table" not in page
    results = [path.name for path in (ROOT / "benchmarks" / "results").glob("*.json")]
    recipes = [path.name for path in (ROOT / "recipes").glob("*.yaml")]
    assert [name for name in [*results, *recipes] if name not in page] == []


@pytest.mark.parametrize("page", READMES, ids=name_of)
def test_a_readme_states_the_times_that_were_measured(page: Path) -> None:
    (file,) = (ROOT / "benchmarks" / "results").glob("*-classification.json")
    measured = {f"{side['ratio']:.1f}" for side in json.loads(file.read_text(encoding="utf-8"))["sides"].values()}
    (paragraph,) = (p for p in page.read_text(encoding="utf-8").split("\n\n") if "IMDB" in p)
    stated = re.findall(r"\d+\.\d+", paragraph)
    assert len(stated) == 4
    assert set(stated) <= measured


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_pictures_are_small() -> None:
    pictures = list((DOCS / "images").glob("*.png"))
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size >= 60_000] == []


def test_the_chinese_readme_follows_the_english_one() -> None:
    def levels(page: Path) -> list[int]:
        return [len(marks) for marks in re.findall(r"^(#+) ", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)]

    def figures(page: Path) -> list[str]:
        return re.findall(r"\d+\.\d+", FENCED.sub("", page.read_text("utf-8")))

    def targets(page: Path) -> list[str]:
        return [t for t in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")) if not t.startswith("README")]

    english, chinese = READMES
    for of in (levels, blocks, figures, targets):
        assert of(english) == of(chinese)


CLASSES = [name for name in unroll.__all__ if isinstance(getattr(unroll, name), type)]


@pytest.mark.parametrize("name", [n for n in CLASSES if not n.endswith("Error")] + ["Recurrence"])
def test_the_example_of_every_public_class_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unroll.ops.call import Recurrence

    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(Recurrence if name == "Recurrence" else getattr(unroll, name)) or ""
    names = {"unroll": unroll, "torch": torch, "np": np, "pd": pd}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert test.examples
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not failed, "".join(said)


def test_the_parameters_for_type_checkers_are_those_of_the_estimators() -> None:
    tool = Path(__file__).resolve().parents[1] / "docs" / "tools" / "make_parameters.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True)
