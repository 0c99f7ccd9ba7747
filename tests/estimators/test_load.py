from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll import Classifier, Forecaster, LanguageModel, Regressor, Tagger
from unroll.errors import OptionError, RunError

SMALL: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "threads": 1}
TEXTS = ["good film", "bad film", "a good one", "a bad one"] * 5
LABELS = ["pos", "neg"] * 10
TOKENS, TAGS = [["the", "cat"], ["a", "dog", "ran"]] * 6, [["D", "N"], ["D", "N", "V"]] * 6


def test_a_classifier_comes_back_from_its_run(tmp_path: Path) -> None:
    fitted = Classifier(**SMALL, embedding_dim=3).fit(TEXTS, LABELS)
    again = Classifier.load(fitted.save(tmp_path / "run"))
    assert type(again) is Classifier
    assert again.get_params()["embedding_dim"] == 3
    assert again.classes_.tolist() == ["neg", "pos"]
    assert again.history_ == fitted.history_
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert again.predict(TEXTS).tolist() == fitted.predict(TEXTS).tolist()
    with pytest.raises(RunError, match="holds a classification run; Tagger reads tagging runs"):
        Tagger.load(tmp_path / "run")


def test_several_labels_and_several_targets_come_back(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 3, 2))
    several = Classifier(**SMALL).fit(X, (X[:, 0] > 0).astype(int))
    np.testing.assert_array_equal(Classifier.load(several.save(tmp_path / "a")).predict(X), several.predict(X))
    for name, y in (("one", X[:, 0, 0]), ("two", X[:, 0])):
        fitted = Regressor(**SMALL).fit(X, y)
        again = Regressor.load(fitted.save(tmp_path / name))
        assert again.predict(X).shape == y.shape
        np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_a_tagger_a_language_model_and_a_forecaster_come_back(tmp_path: Path) -> None:
    tagger = Tagger(**SMALL).fit(TOKENS, TAGS)
    again = Tagger.load(tagger.save(tmp_path / "tagger"))
    assert again.predict(TOKENS) == tagger.predict(TOKENS)
    assert again.classes_.tolist() == ["D", "N", "V"]
    model = LanguageModel(**SMALL).fit(TEXTS * 3)
    assert LanguageModel.load(model.save(tmp_path / "lm")).perplexity(TEXTS) == model.perplexity(TEXTS)
    series = pd.Series(np.arange(40.0), index=pd.date_range("2024-01-01", periods=40), name="y")
    forecaster = Forecaster(horizon=2, lookback=4, **SMALL).fit(series)
    loaded = Forecaster.load(forecaster.save(tmp_path / "forecaster"))
    pd.testing.assert_frame_equal(loaded.predict(series), forecaster.predict(series))


def test_random_state_is_the_seed() -> None:
    one, other = (Classifier(**SMALL, **seed).fit(TEXTS, LABELS) for seed in ({"seed": 7}, {"random_state": 7}))
    np.testing.assert_array_equal(one.predict_proba(TEXTS), other.predict_proba(TEXTS))
    assert other.task_.settings.batch.seed == 7
    with pytest.raises(OptionError, match="two names of one thing"):
        Classifier(**SMALL, seed=1, random_state=2).fit(TEXTS, LABELS)
    with pytest.raises(OptionError, match=r"random_state is RandomState.*; give a whole number"):
        Classifier(**SMALL, random_state=np.random.RandomState(0)).fit(TEXTS, LABELS)


@pytest.mark.parametrize("cls", [Classifier, Regressor, Tagger, LanguageModel, Forecaster])
def test_help_has_a_line_for_each_parameter(cls: type) -> None:
    lines = (cls.__doc__ or "").splitlines()
    for name in cls().get_params():
        (line,) = [line for line in lines if line.startswith(f"    {name} (default ")]
        assert len(line.split(": ", 1)[1]) > 10


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hiden_size'; did you mean 'hidden_size'"):
        Classifier(hiden_size=3)
