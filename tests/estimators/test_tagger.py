from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from unroll import load
from unroll.errors import DataError, OptionError, RunError
from unroll.estimators.tagger import Tagger

SMALL = {
    "hidden_size": 8,
    "embedding_dim": 8,
    "char_hidden_size": 4,
    "char_embedding_dim": 8,
    "epochs": 12,
    "learning_rate": 0.05,
}
X = [["the", "cat", "ran"], ["a", "dog", "sat"], ["the", "dog", "ran", "!"], ["a", "cat"]] * 6
Y = [["D", "N", "V"], ["D", "N", "V"], ["D", "N", "V", "P"], ["D", "N"]] * 6


def small(**options: object) -> Tagger:
    return Tagger(**(SMALL | {"threads": 1} | options))


@pytest.fixture(scope="module")
def fitted() -> Tagger:
    return small().fit(X, Y)


def test_it_learns_and_answers_lists(fitted: Tagger) -> None:
    assert fitted.predict([["the", "cat", "sat", "!"], ["dog"]]) == [["D", "N", "V", "P"], ["N"]]
    assert fitted.predict(["the cat sat !", "dog"]) == [["D", "N", "V", "P"], ["N"]]
    assert fitted.score(X, Y) == 1.0
    assert fitted.score([["the", "cat"]], [["D", "X"]]) == 0.5
    assert fitted.classes_.tolist() == ["D", "N", "P", "V"]
    assert fitted.n_iter_ == len(fitted.history_) == 12
    assert fitted.history_[-1]["valid_accuracy"] == 1.0


def test_parameters_are_the_options_of_the_command() -> None:
    parameters = small(decoder="crf").get_params()
    assert {"decoder", "hidden_size", "scheme", "vectors", "min_freq", "lowercase", "verbose"} <= set(parameters)
    assert not {"tokens", "tags", "encoding", "skip_bad_rows", "level", "html"} & set(parameters)
    assert parameters["bidirectional"] is True
    copy = clone(small(decoder="crf").set_params(hidden_size=5))
    assert (copy.hidden_size, copy.decoder) == (5, "crf")
    with pytest.raises(TypeError, match="unexpected keyword argument 'hiden'"):
        Tagger(hiden=3)
    with pytest.raises(OptionError, match="decoder is 'viterbi'"):
        small(decoder="viterbi").fit(X, Y)


def test_cross_validation_and_arrays_of_lists() -> None:
    columns = (np.empty(len(X), dtype=object), np.empty(len(X), dtype=object))
    for i in range(len(X)):
        columns[0][i], columns[1][i] = X[i], Y[i]
    scores = cross_val_score(small(epochs=6, characters="convolution"), *columns, cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0.8


def test_the_same_seed_gives_the_same_model(fitted: Tagger) -> None:
    again = small().fit(X, Y)
    for one, other in zip(fitted.model_.parameters(), again.model_.parameters(), strict=True):
        assert bool((one == other).all())


def test_a_saved_tagger_is_a_run(fitted: Tagger, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "run")
    answers = list(load(path).predict([{"tokens": ["the", "cat"]}, ["a", "dog"]]))
    assert [a["tags"] for a in answers] == [["D", "N"], ["D", "N"]]
    with pytest.raises(RunError, match="already holds a run"):
        fitted.save(path)


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        ([["a", "b"], ["a"]], [["X"], ["Y"]], r"1 of 2 rows of X and y .* \(row 1: 'tags' has 1 tag for 2 tokens\)$"),
        ([["a", 3], ["a"]], [["X", "Y"], ["Y"]], r"'tokens' has int 3 at token 2, where text is needed"),
        ([[], ["a"]], [[], ["Y"]], r"row 1: 'tokens' is empty"),
        ([["a"], ["b"]], [["X"], ["X"]], r"every token of X and y has the tag 'X'"),
        ("a b", [["X"]], r"X is one text"),
        ([["a"]], None, r"requires y to be passed"),
    ],
)
def test_what_cannot_be_used_is_named(tokens: object, tags: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        small(min_freq=1).fit(tokens, tags)
    assert "--" not in str(error.value)


def test_what_cannot_be_answered_is_named(fitted: Tagger) -> None:
    with pytest.raises(DataError, match=r"1 of 2 rows of X cannot be used \(row 2: 'tokens' is empty\)"):
        fitted.predict([["a"], []])
    with pytest.raises(ValueError, match="0 sample"):
        fitted.predict([])
    with pytest.raises(DataError, match="row 1 of y has tags for 1 tokens, but X has 2"):
        fitted.score([["a", "b"]], [["D"]])


def test_frames_and_rows_without_tags_are_said(fitted: Tagger) -> None:
    import pandas as pd

    frame = pd.DataFrame({"tokens": X, "tags": Y})
    assert fitted.score(frame["tokens"], frame[["tags"]]) == fitted.score(X, Y)
    with pytest.raises(DataError, match=r"X has 2 columns \('tokens', 'tags'\)"):
        fitted.predict(frame)
    for missing in (None, float("nan"), pd.NA):
        with pytest.raises(DataError, match=r"1 of 2 rows of y cannot be used \(row 2: 'y' has no tag at token 1\)"):
            fitted.score(X[:2], [Y[0], [missing, "N", "V"]])
        with pytest.raises(DataError, match=r"row 2: 'tags' has no tag at token 1"):
            small().fit(X[:2], [Y[0], [missing, "N", "V"]])
        with pytest.raises(DataError, match="row 1: 'tokens' has a null at token 2"):
            fitted.predict([["the", missing]])
        with pytest.raises(DataError, match="row 2: 'y' is null"):
            fitted.score(X[:2], [Y[0], missing])
    with pytest.raises(DataError, match=r"row 1: 'tags' has half a character \(a lone surrogate\) at token 1"):
        small().fit(X[:2], [["x\ud83d", "N", "V"], Y[1]])


def test_validation_sentences_take_the_place_of_the_split() -> None:
    right = small().fit(X[:20], Y[:20], X_val=X[:4], y_val=Y[:4]).history_[-1]["valid_accuracy"]
    wrong = small().fit(X[:20], Y[:20], X_val=["the cat"], y_val=[["V", "V"]]).history_[-1]["valid_accuracy"]
    assert (right, wrong) == (1.0, 0.0)
    with pytest.raises(DataError) as error:
        small().fit(X, Y, X_val=X[:1])
    assert str(error.value) == "X_val is given without y_val; give both, or none to hold out a share of X"
    with pytest.raises(DataError) as error:
        small().fit(X, Y, X_val=[["the"]], y_val=[["D", "N"]])
    assert "of X_val and y_val cannot be used (row 1" in str(error.value)
