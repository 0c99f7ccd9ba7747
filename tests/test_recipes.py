from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from unroll.tasks.registry import TASKS

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_used_and_says_what_it_gave(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("Command:", "Result:", "Time:", "Hardware:", "Versions:"):
        assert any(line.startswith(f"# {word}") for line in head), f"{recipe.name} does not state its {word}"
    task = re.search(r"^# Command:.*?unroll fit ([\w-]+)", text, re.MULTILINE)
    assert task is not None, f"{recipe.name} does not say which task it is for"
    TASKS[task[1]].load_settings().from_flat(yaml.safe_load(text), recipe.name)


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"imdb", "imdb-lstm", "imdb-cnn-rnn"}
