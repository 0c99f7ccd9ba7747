from __future__ import annotations

import dataclasses
import doctest
import re
from pathlib import Path

import pytest

import unroll
from unroll.__main__ import COMMANDS, usage
from unroll.tasks.registry import TASKS

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return FENCED.findall(page.read_text(encoding="utf-8"))


def examples(page: Path) -> str:
    """The page with everything blanked but its Python examples, so that line numbers stay true."""
    text = page.read_text(encoding="utf-8")
    kept = list(re.sub(r"[^\n]", "", text).split("\n"))
    for block in FENCED.finditer(text):
        if block[1] == "python" and block[2].startswith(">>>"):
            first = text.count("\n", 0, block.start(2))
            for i, line in enumerate(block[2].splitlines()):
                kept[first + i] = line
    return "\n".join(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_gives_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(examples(page), {}, page.name, str(page), 0)
    doctest.DocTestRunner(optionflags=FLAGS).run(test)
    found = capsys.readouterr().out
    assert not found, found


def test_every_public_name_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in unroll.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_option_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    groups = {group for task in TASKS.values() for group in task.load_settings().groups()}
    names = sorted({field.name for group in groups for field in dataclasses.fields(group)})
    assert [n for n in names if not re.search(rf"`{n}[`=:]|--{n.replace('_', '-')}\b", text)] == []


def test_the_command_line_page_has_every_command() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert usage() in text
    assert [name for name in COMMANDS if f"## unroll {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_the_chinese_readme_follows_the_english_one() -> None:
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"

    def levels(page: Path) -> list[int]:
        return [len(marks) for marks in re.findall(r"^(#+) ", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)]

    assert levels(english) == levels(chinese)
    assert blocks(english) == blocks(chinese)
    for name in ("recipes", "speed"):
        between = [
            re.search(rf"<!-- {name} -->.*?<!-- /{name} -->", p.read_text("utf-8"), re.DOTALL)
            for p in (english, chinese)
        ]
        assert between[0] is not None
        assert between[1] is not None
        figures = [re.findall(r"\d+\.\d+", found[0]) for found in between if found]
        assert figures[0] == figures[1]
