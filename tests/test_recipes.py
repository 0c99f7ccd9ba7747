from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unroll.tasks.settings import Settings

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_used_and_says_what_it_gave(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    for word in ("Command:", "Result:", "Time:", "Hardware:", "Versions:"):
        assert any(line.startswith(f"# {word}") for line in head), f"{recipe.name} does not state its {word}"
    Settings.from_flat(yaml.safe_load(text), recipe.name)


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"imdb", "imdb-lstm", "imdb-cnn-rnn"}
