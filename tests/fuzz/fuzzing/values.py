"""Values from Python, of odd types and shapes, given to predictors and estimators."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd

import unroll
from fuzzing.mutations import ODD
from fuzzing.oracle import Finding, attempt
from fuzzing.trained import Trained, quiet

_Make = Callable[[Random], Any]
_TEXTS = ("good", "bad awful", "", " ", "\ud83d", "é", "a\x00b", "x" * 5000)


def _numbers(random: Random, *shape: int) -> np.ndarray:
    return np.random.default_rng(random.randrange(2**32)).normal(size=shape)


def _odd_array(random: Random) -> Any:
    shape = random.choice(((0,), (1,), (5,), (3, 2), (40, 2), (2, 3, 2), (0, 2), (3, 0), (2, 2, 2, 2)))
    kind = random.choice(("f8", "f4", "f2", "g", "i8", "u1", "?", "c16", "O", "U3", "S3", "M8[D]", "m8[s]"))
    array = (_numbers(random, *shape) * 9).astype("i8").astype(kind)
    if random.random() < 0.2:
        return np.ma.masked_array(array)
    return array.tolist() if random.random() < 0.2 else array


def _frame(random: Random) -> pd.DataFrame:
    n = random.choice((0, 1, 3, 30, 60))
    times: Any = pd.date_range("2024-01-01", periods=n, freq="h")
    columns: dict[Any, Any] = {
        "time": random.choice((times, times[::-1], times.tz_localize("UTC"), times.astype(str), list(range(n)))),
        "load": random.choice((_numbers(random, n), ["1,5"] * n, [None] * n, [decimal.Decimal(1)] * n, [[1]] * n)),
        "temp": _numbers(random, n),
        "text": random.choice((["good"] * n, [None] * n, [1] * n, ["good", *[b"x"] * (n - 1)][:n])),
        "x": [[[0.0, 1.0]]] * n,
        "tokens": [["Ann", "saw"]] * n,
    }
    kept = [name for name in columns if random.random() < 0.8]
    table = pd.DataFrame({name: columns[name] for name in kept})
    way = random.randrange(10)
    if way == 0 and kept:
        table = table.set_index(kept[0])
    elif way == 1:
        table.columns = pd.MultiIndex.from_tuples([(name, "a") for name in kept]) if kept else table.columns
    elif way == 2 and kept:
        table = pd.concat([table, table[kept[0]]], axis=1)
    elif way == 3:
        table.columns = range(len(kept))
    elif way == 4:
        table = table.convert_dtypes()
    elif way == 5 and n:
        table.iloc[0] = None
    return table


_MAKERS: tuple[_Make, ...] = (
    lambda random: random.choice(ODD),
    lambda random: [random.choice(ODD) for _ in range(random.randint(0, 4))],
    lambda random: [random.choice(_TEXTS) for _ in range(random.randint(0, 4))],
    lambda random: [
        {random.choice(("text", "x", "tokens", "label", "Text", "")): random.choice((*ODD, *_TEXTS))} for _ in range(3)
    ],
    lambda random: [[random.choice(ODD) for _ in range(random.randint(0, 3))] for _ in range(3)],
    _odd_array,
    _odd_array,
    _frame,
    _frame,
    _frame,
    lambda random: pd.Series(
        random.choice(([], ["good"], [1.0, 2.0], [None, "a"], [[1.0]], pd.Categorical(["a", "b"])))
    ),
    lambda random: pd.Series(_numbers(random, 40), index=pd.date_range("2024", periods=40, freq="h")),
    lambda random: iter(["good", 3]),
    lambda random: {"text": ["good", "bad"]},
    lambda random: {"good", "bad"},
    lambda random: b"good",
    lambda random: Path("nowhere.csv"),
    lambda random: [
        pd.NA,
        pd.NaT,
        None,
        float("nan"),
        np.float32(1),
        decimal.Decimal("1.5"),
        datetime.date(2024, 1, 1),
    ],
    lambda random: [np.array(["a"]), np.array([[1.0, 2.0]]), np.zeros((0, 2))],
    lambda random: object(),
    lambda random: len,
    lambda random: pd.DataFrame,
)


class OddPredicted:
    """A trial that asks the predictor of a sound run for answers to something odd."""

    def __init__(self, trained: dict[str, Trained]) -> None:
        self._predictors = {name: unroll.load(one.run) for name, one in trained.items()}

    def __call__(self, random: Random, folder: Path) -> bool:
        """Do it; True where there was an answer."""
        name = random.choice(list(self._predictors))
        predictor: Any = self._predictors[name]
        value = random.choice(_MAKERS)(random)
        ways: list[Callable[[], Any]] = [lambda: predictor.evaluate(value)]
        if hasattr(predictor, "predict"):
            more = {"skip_bad_rows": True} if hasattr(predictor.task, "column") and random.random() < 0.3 else {}
            ways += [lambda: _listed(predictor.predict(value, **more))] * 3
        if hasattr(predictor, "score"):
            ways += [lambda: list(predictor.score(value)), lambda: list(predictor.generate(value, length=3))]
        if hasattr(predictor, "update"):
            ways.append(lambda: predictor.update(value))
            number = random.choice(ODD)
            ways.append(lambda: predictor.predict(_history(), horizon=number if not _large(number) else 1))
        way = random.randrange(len(ways))

        def ask() -> Any:
            with quiet():
                return ways[way]()

        outcome = attempt(ask)
        by_rows = isinstance(value, list | np.ndarray | pd.DataFrame | pd.Series) and hasattr(predictor.task, "column")
        if by_rows and isinstance(outcome.value, list) and len(outcome.value) != len(value):
            what = f"{len(value)} rows of {type(value).__name__}, {len(outcome.value)} answers"
            raise Finding("one answer a row", what)
        return outcome.answered


def _listed(found: Any) -> Any:
    return found if isinstance(found, pd.DataFrame | list) else list(found)


def _large(value: Any) -> bool:
    return isinstance(value, int | float) and value > 10**5


def _history() -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=30, freq="h")
    return pd.DataFrame({"time": times, "load": np.arange(30.0), "temp": np.arange(30.0)})


_QUICK: dict[str, Any] = {"epochs": 1, "hidden_size": 2, "threads": 1}


class OddFitted:
    """A trial that gives an estimator something odd to fit, or to predict once it is fitted."""

    def __init__(self) -> None:
        texts, labels = ["good a", "bad b"] * 10, ["p", "n"] * 10
        quick = _QUICK | {"embedding_dim": 2, "min_freq": 1}
        times = pd.date_range("2024-01-01", periods=60, freq="h")
        series = pd.DataFrame({"time": times, "y": np.sin(np.arange(60.0))})
        with quiet():
            self._fitted: list[Any] = [
                unroll.Classifier(**quick).fit(texts, labels),
                unroll.Classifier(**_QUICK).fit(np.arange(60.0).reshape(20, 3), labels),
                unroll.Regressor(**quick).fit(texts, np.arange(20.0)),
                unroll.Tagger(**quick).fit([["Ann", "saw"]] * 20, [["N", "V"]] * 20),
                unroll.LanguageModel(**_QUICK, embedding_dim=2).fit(texts),
                unroll.Forecaster(**_QUICK, horizon=2, lookback=4).fit(series),
            ]

    def __call__(self, random: Random, folder: Path) -> bool:
        """Do it; True where there was an answer."""
        fitted = random.choice(self._fitted)
        X, y = random.choice(_MAKERS)(random), random.choice(_MAKERS)(random)
        if random.random() < 0.5:
            y = [random.choice(("a", "b", "c", None, 1, float("nan"), pd.NA)) for _ in range(_length(X))]
        way = random.random()

        def ask() -> Any:
            with quiet():
                if way < 0.4:
                    made = type(fitted)(**fitted.get_params())
                    return made.fit(X, y) if way < 0.35 else made.fit(X)
                if way < 0.5 and hasattr(fitted, "score"):
                    return fitted.score(X, y)
                return fitted.predict(X) if callable(fitted.predict) else list(fitted.generate(X, length=2))

        return attempt(ask, allowed=_of_scikit_learn).answered


def _length(value: Any) -> int:
    try:
        return len(value)
    except TypeError:
        return 3


def _of_scikit_learn(error: Exception) -> bool:
    """Whether scikit-learn's own checks raised, or y is missing: they are the estimators' contract."""
    if isinstance(error, TypeError) and "missing 1 required positional argument: 'y'" in str(error):
        return True
    frame = error.__traceback__
    file = ""
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if "sklearn/utils/" in file:
            return isinstance(error, ValueError | TypeError)
        frame = frame.tb_next
    return False
