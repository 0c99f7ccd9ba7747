from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.base import clone

import unroll
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError, OptionError
from unroll.estimators.language_model import _lines
from unroll.tasks.language_modeling.options import LanguageSettings
from unroll.tasks.language_modeling.records import encode_text

WORDS = ["the cat sat on the mat", "the dog sat on the log", "a cat saw the dog", "a dog saw the cat"] * 20
QUICK: dict[str, Any] = {
    "hidden_size": 24,
    "embedding_dim": 16,
    "bptt": 12,
    "batch_size": 4,
    "epochs": 12,
    "learning_rate": 0.02,
    "threads": 1,
}


@pytest.fixture(scope="module")
def fitted() -> unroll.LanguageModel:
    return unroll.LanguageModel(**QUICK).fit(WORDS)


def test_it_foresees_a_regular_text(fitted: unroll.LanguageModel) -> None:
    report = fitted.report(WORDS[:4])
    assert report["tokens"] == sum(len(line.split()) + 1 for line in WORDS[:4])
    assert report["perplexity"] < 2.2 < report["baseline_perplexity"]
    assert fitted.perplexity(WORDS[:4]) == report["perplexity"]
    assert fitted.score(WORDS[:4]) == pytest.approx(-math.log(report["perplexity"]))


def test_one_text_is_the_same_as_its_lines() -> None:
    options = QUICK | {"epochs": 1}
    whole = unroll.LanguageModel(**options).fit("\n".join(WORDS) + "\n")
    lines = unroll.LanguageModel(**options).fit(WORDS)
    assert whole.perplexity(WORDS[:3]) == lines.perplexity("\n".join(WORDS[:3]))


def test_it_writes_scores_and_saves(fitted: unroll.LanguageModel, tmp_path: Path) -> None:
    text = "".join(fitted.generate("the cat sat on", length=2, temperature=0))
    assert text.split()[0] == "the"
    [scored] = fitted.score_lines(["the cat sat"])
    assert len(scored["log_probabilities"]) == 4
    assert sum(scored["log_probabilities"]) == pytest.approx(scored["total"])
    again = unroll.load(fitted.save(tmp_path / "run"))
    assert "".join(again.generate("the cat sat on", length=2, temperature=0)) == text  # type: ignore[attr-defined]


def test_states_are_reset_where_asked() -> None:
    lines = ["a b", "", "c d", "e f"] * 4
    for reset, wanted in (("never", []), ("blank", [4, 14, 24, 34]), ("row", [3, 4, 7, 10, 13, 14])):
        settings = LanguageSettings.from_flat({"reset_state": reset, "min_freq": 1})
        encoder = TextTokenizer.learn(_lines(lines).lines, settings.text)
        found = encode_text(_lines(lines), encoder, settings).documents.tolist()
        assert found[: len(wanted)] == wanted
        assert len(found) == {"never": 0, "blank": 4, "row": 15}[reset]


def test_parameters_are_those_of_the_command(fitted: unroll.LanguageModel) -> None:
    parameters = clone(fitted).get_params()
    assert parameters["bptt"] == 12
    assert {"tie_weights", "softmax", "weight_dropout", "layer_decay"} <= parameters.keys()
    assert not {"bucket_batches", "max_length", "encoding"} & parameters.keys()


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows of X cannot be used \(row 2: 'X' holds int, not text\)"):
        unroll.LanguageModel().fit(["a", 3])  # type: ignore[list-item]
    with pytest.raises(DataError, match="X holds no text"):
        unroll.LanguageModel().fit(["", " "])
    with pytest.raises(DataError, match="too short to be divided"):
        unroll.LanguageModel().fit("word")
    with pytest.raises(OptionError, match="bidirectional layers would see"):
        unroll.LanguageModel(bidirectional=True).fit(WORDS)


def test_series_and_frames_of_texts(fitted: unroll.LanguageModel) -> None:
    series = pd.Series(WORDS[:4], index=[3, 3, 1, 0])
    assert fitted.perplexity(series) == fitted.perplexity(WORDS[:4])
    assert fitted.perplexity(series.to_frame()) == fitted.perplexity(WORDS[:4])
    assert fitted.score_lines(series) == fitted.score_lines(WORDS[:4])
    for missing in (None, float("nan"), pd.NA):
        with pytest.raises(DataError, match=r"1 of 2 rows of X cannot be used \(row 2: 'X' is null\)"):
            fitted.perplexity(["a cat", missing])
    with pytest.raises(DataError, match="X has 2 columns"):
        fitted.perplexity(pd.DataFrame({"id": [1], "text": ["a cat"]}))


def test_line_ends_of_all_kinds_are_one(fitted: unroll.LanguageModel) -> None:
    assert _lines("a\r\nb\rc\n\nd").lines == ["a\n", "b\n", "c\n", "\n", "d\n"]
    assert _lines(["a", "", "b\n"]).lines == ["a\n", "\n", "b\n"]


def test_a_validation_text_takes_the_place_of_the_split() -> None:
    options = QUICK | {"epochs": 3}
    near = unroll.LanguageModel(**options).fit(WORDS, X_val=WORDS[:8]).history_[-1]["valid_loss"]
    far = unroll.LanguageModel(**options).fit(WORDS, X_val=["mat the on sat cat the"] * 8).history_[-1]["valid_loss"]
    assert far > near + 0.5
    with pytest.raises(DataError, match=r"^X_val holds no text$"):
        unroll.LanguageModel(**options).fit(WORDS, X_val=[" "])
