from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from unroll.data.options import TextOptions
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError, OptionError, RunError
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.serving.language_model import LanguagePredictor
from unroll.tasks.language_modeling.options import CorpusOptions, LanguageOptions, LanguageSettings
from unroll.tasks.language_modeling.task import LanguageTask

LINES = ["the cat sat", "", "a dog ran to the cat", "the the the a", "电影 was good"]


def predictor(
    level: str = "word", *, line_ends: bool = True, objective: str = "causal", **language: Any
) -> LanguagePredictor:
    both = objective == "masked"
    settings = LanguageSettings(
        language=LanguageOptions(objective=objective, **language),  # type: ignore[arg-type]
        text=CorpusOptions(level=level, line_ends=line_ends, min_freq=1, vocab_size=300 * (level == "bpe")),  # type: ignore[arg-type]
        tokens=TokenOptions(embedding_dim=6),
        recurrent=RecurrentOptions(recurrence="gru", hidden_size=8, bidirectional=both),
    )
    options = TextOptions(**{f: getattr(settings.text, f) for f in TextOptions.__dataclass_fields__})
    encoder = TextTokenizer.learn((f"{line}\n" for line in LINES), options)
    task = LanguageTask("language-model", settings, encoder, np.ones(encoder.size, dtype=np.int64))
    torch.manual_seed(0)
    model = task.network().double()
    for p in model.parameters():
        nn.init.normal_(p)
    return LanguagePredictor(task, model)


@pytest.mark.parametrize("level", ["word", "char", "byte", "bpe"])
def test_text_is_its_tokens_joined(level: str) -> None:
    made = predictor(level)
    encoder = made.task.encoder
    text = "".join(made.generate("the cat", length=30, seed=4, echo=True))
    assert text.startswith("the cat")
    assert "".join(made.generate("the cat", length=30, seed=4)) == text.removeprefix("the cat")
    if level in ("word", "char"):
        ids = encoder.encode([text])[0]
        assert len(ids) == 30 + len(encoder.encode(["the cat"])[0])
    assert "".join(made.generate("the cat", length=30, seed=5, echo=True)) != text


def test_an_empty_prompt_begins_after_a_line_end() -> None:
    made = predictor("char")
    newline = made.task.encoder.newline
    state = made.model.start(1)
    log_p, _ = made.model.step(torch.tensor([newline]), state)
    log_p[0, :2] = -math.inf
    assert next(made.generate("", temperature=0)) == made.task.encoder.tokens([int(log_p.argmax())])[0]


def test_without_line_ends_a_text_begins_after_padding() -> None:
    made = predictor("word", line_ends=False)
    log_p, _ = made.model.step(torch.tensor([0]), made.model.start(1))
    (answer,) = made.score(["the cat"])
    assert answer["tokens"] == ["the", "cat"]
    the = int(made.task.encoder.encode(["the"])[0][0])
    assert answer["log_probabilities"][0] == pytest.approx(float(log_p[0, the].detach()), abs=1e-6)


def test_stop_strings_end_the_text() -> None:
    made = predictor("char")
    whole = "".join(made.generate("the", length=200, seed=1))
    stop = whole[50:53]
    assert "".join(made.generate("the", length=200, seed=1, stop=[stop, "never"])) == whole[: whole.find(stop)]
    assert "".join(made.generate("the", length=200, seed=1, stop=["never"])) == whole
    with pytest.raises(OptionError, match="stop string is empty"):
        made.generate("the", stop=[""])


@pytest.mark.parametrize("level", ["word", "char"])
def test_a_search_finds_texts_and_what_they_are_worth(level: str) -> None:
    made = predictor(level)
    found = made.search("the cat", length=6, width=4, echo=True)
    assert len(found) == 4
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)
    for best in found:
        assert best.text.startswith("the cat")
        (scored,) = made.score([best.text])
        begin = len(made.task.encoder.encode(["the cat"])[0])
        assert best.log_probability == pytest.approx(sum(scored["log_probabilities"][begin : begin + 6]), abs=1e-5)
    assert made.search("the cat", length=6, width=4)[0].text == found[0].text.removeprefix("the cat")


def test_a_search_ends_texts_at_stop_strings() -> None:
    made = predictor("char")
    best = made.search("the", length=8, width=6)[0]
    stop = best.text[1:3]
    found = made.search("the", length=8, width=6, stop=[stop])
    assert len(found[0].text) < 2
    assert found[0].score > best.score  # fewer tokens
    assert not any(stop in f.text for f in found)
    (scored,) = made.score([f"the{found[0].text}{stop}"])
    assert found[0].score == pytest.approx(sum(scored["log_probabilities"][3:-1]), abs=1e-5)


def test_unknown_parts_of_a_prompt_are_named() -> None:
    with pytest.raises(DataError, match=r"the prompt has words that the vocabulary has not: 'bird', 'flew'$"):
        predictor("word").generate("the bird flew bird")
    with pytest.raises(DataError, match=r"characters .* has not: 'x', 'y', 'z', 'q', 'v' and 1 more"):
        predictor("char").search("xyzqvj")
    assert "".join(predictor("byte").generate("xyz", length=3, echo=True)).startswith("xyz")


def by_hand(made: LanguagePredictor, text: str) -> list[float]:
    """The log-probabilities of a text's tokens, each by reading all before it."""
    ids = made.task.encoder.encode([text])[0].tolist()
    before = made.task.encoder.newline
    found = []
    for n in range(len(ids)):
        with torch.no_grad():
            features, _, _ = made.model(torch.tensor([[before, *ids[:n]]]))
            found.append(float(made.model.log_prob(features[:, -1])[0, ids[n]]))
    return found


@pytest.mark.parametrize("at_once", [2, 1000])
@pytest.mark.parametrize("level", ["word", "char", "byte"])
def test_scores_by_hand(level: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unroll.generation.scoring._STEPS_AT_ONCE", at_once)
    made = predictor(level)
    answers = list(made.score(LINES))
    assert [a["text"] for a in answers] == LINES
    for line, answer in zip(LINES, answers, strict=True):
        wanted = by_hand(made, f"{line}\n")
        assert answer["log_probabilities"] == pytest.approx(wanted, abs=1e-6)
        assert answer["total"] == pytest.approx(sum(wanted), abs=1e-6)
        assert answer["per_token"] == pytest.approx(sum(wanted) / len(wanted), abs=1e-6)
        assert answer["perplexity"] == pytest.approx(math.exp(-sum(wanted) / len(wanted)), rel=1e-6)
        assert len(answer["tokens"]) == len(wanted)
        assert answer["unknown"] == 0
    assert answers[0]["tokens"][-1] == ("<eos>" if level == "word" else "\n")


def test_carried_scores_are_those_of_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    made = predictor("word")
    wanted = by_hand(made, "".join(f"{line}\n" for line in LINES))
    found = [v for answer in made.score(LINES, carry=True) for v in answer["log_probabilities"]]
    assert found == pytest.approx(wanted, abs=1e-6)
    monkeypatch.setattr("unroll.generation.scoring._STEPS_AT_ONCE", 3)
    again = [v for answer in made.score(LINES, carry=True) for v in answer["log_probabilities"]]
    assert again == pytest.approx(wanted, abs=1e-6)


def test_groups_of_lines_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = predictor("char")
    lines = [LINES[i % 5][: i % 13] for i in range(60)]
    whole = list(made.score(lines))
    monkeypatch.setattr("unroll.generation.scoring._TOKENS_AT_ONCE", 40)
    parts = list(made.score(iter(lines)))
    assert [a["text"] for a in parts] == lines
    for a, b in zip(whole, parts, strict=True):
        assert a["log_probabilities"] == pytest.approx(b["log_probabilities"], abs=2e-6)


def test_unknown_tokens_are_counted_and_scored_as_such() -> None:
    made = predictor("word")
    (answer,) = made.score(["the bird"])
    assert answer["tokens"] == ["the", "<unk>", "<eos>"]
    assert answer["unknown"] == 1
    assert len(answer["log_probabilities"]) == 3


def test_no_tokens_have_no_mean() -> None:
    (answer,) = predictor("word", line_ends=False).score([""])
    assert (answer["total"], answer["per_token"], answer["perplexity"], answer["tokens"]) == (0.0, None, None, [])


def test_the_figures_of_an_evaluation_are_those_of_carried_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(LINES), encoding="utf-8")
    made = predictor("word")
    report = made.evaluate(str(tmp_path / "text.txt"))
    answers = list(made.score_files([str(tmp_path / "text.txt")], carry=True))
    assert [a["text"] for a in answers] == LINES
    assert report["tokens"] == sum(len(a["tokens"]) for a in answers)
    assert report["nats_per_token"] * report["tokens"] == pytest.approx(-sum(a["total"] for a in answers), abs=1e-4)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return give


def test_files_of_records_and_lines_score_the_same(tmp_path: Path, given: Callable[[str], None]) -> None:
    made = predictor("char", text="body")
    wanted = list(made.score(LINES))
    rows = "".join(json.dumps({"body": line, "other": 1}) + "\n" for line in LINES)
    (tmp_path / "lines.log").write_text("\r\n".join(LINES) + "\r\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(rows)
    for name in ("lines.log", "rows.jsonl"):
        assert list(made.score_files([str(tmp_path / name)])) == wanted
    for text in (rows, "\n".join(LINES)):
        given(text)
        alone = list(made.score_files(["-"]))
        assert [a["text"] for a in alone] == LINES
        for a, b in zip(alone, wanted, strict=True):
            assert a["log_probabilities"] == pytest.approx(b["log_probabilities"], abs=2e-6)


def test_rows_without_text_are_named_or_answered(tmp_path: Path, given: Callable[[str], None]) -> None:
    made = predictor("char")
    rows = '{"text": "a"}\n{"texts": "a"}\n{"text": null}\n{"text": 3}\n{"te\n'
    given(rows)
    with pytest.raises(DataError, match=r"row 2: there is no 'text'; did you mean 'texts'\?; --skip-bad-rows"):
        list(made.score_files(["-"]))
    given(rows)
    answers = list(made.score_files(["-"], skip_bad_rows=True))
    assert answers[0]["text"] == "a"
    assert [list(a) for a in answers[1:]] == [["error"]] * 4
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": null}\n')
    said: list[str] = []
    found = list(made.score_files([str(tmp_path / "rows.jsonl")], skip_bad_rows=True, say=said.append))
    assert [a["text"] for a in found] == ["a"]
    assert "left out 1 of the lines or rows" in said[0]
    with pytest.raises(DataError, match="'text' is null"):
        list(made.score_files([str(tmp_path / "rows.jsonl")]))
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"empty\.txt is empty"):
        list(made.score_files([str(tmp_path / "empty.txt")]))


def test_what_cannot_be_scored_is_refused() -> None:
    made = predictor()
    with pytest.raises(DataError, match="several lines"):
        made.score("the cat")
    with pytest.raises(DataError, match="line 2 is int 3, where text is needed"):
        list(made.score(["a", 3]))  # type: ignore[list-item]
    nn.init.constant_(made.model.inputs.embedding.weight, math.nan)
    with pytest.raises(RunError, match="are not numbers"):
        list(made.score(["the"]))


def test_a_run_of_masked_tokens_neither_writes_nor_scores() -> None:
    made = predictor(objective="masked")
    for call in (made.generate, made.search, lambda: made.score(["a"]), lambda: made.score_files(["-"])):
        with pytest.raises(OptionError, match="predicts masked tokens"):
            call()


def test_settings_are_left_as_they_were() -> None:
    made = predictor()
    before = replace(made.task.settings)
    list(made.score(LINES))
    assert made.task.settings == before
    assert not made.model.training
    assert all(p.grad is None for p in made.model.parameters())


def test_frames_are_scored_and_evaluated_by_their_column(tmp_path: Path) -> None:
    made = predictor("word")
    frame = pd.DataFrame({"id": range(len(LINES)), "text": LINES}, index=range(9, 9 - len(LINES), -1))
    assert list(made.score(frame)) == list(made.score(LINES))
    assert list(made.score(frame["text"])) == list(made.score(LINES))
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    wanted = made.evaluate(str(tmp_path / "lines.txt"))
    found = made.evaluate(frame)
    assert (found["tokens"], found["perplexity"]) == (wanted["tokens"], wanted["perplexity"])
    with pytest.raises(DataError, match="the table has no column 'text'; did you mean 'texts'"):
        made.evaluate(frame.rename(columns={"text": "texts"}))
    with pytest.raises(DataError, match="the table has no rows"):
        made.evaluate(frame[:0])
    said: list[str] = []
    some = pd.DataFrame({"text": ["the cat", None]})
    with pytest.raises(DataError, match=r"row 2: 'text' is null\); skip_bad_rows=True leaves them out"):
        made.evaluate(some)
    assert made.evaluate(some, skip_bad_rows=True, say=said.append)["tokens"] == 3
    assert said == ["left out: 1 of 2 rows of the table cannot be used (row 2: 'text' is null)"]


def test_lines_before_a_bad_one_are_scored_first() -> None:
    made = predictor("word")
    answers = made.score(["the cat sat", "a dog", float("nan"), "the"])
    assert [next(answers)["text"] for _ in range(2)] == ["the cat sat", "a dog"]
    with pytest.raises(DataError, match="line 3 is null, where text is needed"):
        next(answers)


def test_lines_before_a_bad_record_of_a_file_are_scored_first(tmp_path: Path) -> None:
    made = predictor("word")
    (tmp_path / "rows.jsonl").write_text('{"text": "the cat"}\n{"text": "a dog"}\n{"text": null}\n')
    answers = made.score_files([str(tmp_path / "rows.jsonl")])
    assert [next(answers)["text"] for _ in range(2)] == ["the cat", "a dog"]
    with pytest.raises(DataError, match="row 3: 'text' is null"):
        next(answers)


def test_half_an_emoji_is_scored_as_what_cannot_be_stored() -> None:
    made = predictor("char")
    half, other = made.score(["the \ud83d", "the ?"])
    assert half["text"] == "the \ud83d"
    assert half["log_probabilities"] == other["log_probabilities"]


def test_groups_are_cut_by_their_longest_line(monkeypatch: pytest.MonkeyPatch) -> None:
    made = predictor("word")
    lines = ["the cat " * n for n in (1, 3, 1, 1, 4, 1)]
    wanted = [answer["total"] for answer in made.score(lines)]
    monkeypatch.setattr("unroll.generation.scoring._TOKENS_AT_ONCE", 10)
    assert [answer["total"] for answer in made.score(lines)] == pytest.approx(wanted, abs=1e-6)
