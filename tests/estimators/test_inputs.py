from __future__ import annotations

from decimal import Decimal
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from unroll import Classifier, Forecaster, LanguageModel, Regressor, Tagger
from unroll.data.options import SourceOptions
from unroll.data.sequences import as_array
from unroll.errors import DataError
from unroll.estimators.inputs import read_inputs
from unroll.options import defaults

TEXTS = ["good film", "bad film", "a good one"]
NAN = float("nan")
QUICK: dict[str, Any] = {"hidden_size": 4, "embedding_dim": 4, "epochs": 1, "threads": 1}


def of_objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def read(X: Any) -> tuple[list[Any], str]:
    return read_inputs(Classifier(), X, reset=True)


@pytest.mark.parametrize(
    "X",
    [
        tuple(TEXTS),
        (text for text in TEXTS),
        pd.Series(TEXTS, index=[7, 7, 1]),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS).astype("category"),
        pd.Series(TEXTS, dtype=object),
        pd.Index(TEXTS),
        pd.DataFrame({"t": TEXTS}, index=[5, 3, 1]),
        np.array(TEXTS),
        np.array(TEXTS)[:, None],
        of_objects(TEXTS),
        datasets.Dataset.from_dict({"t": TEXTS}),
        datasets.Dataset.from_dict({"t": TEXTS})["t"],
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_texts(X: Any) -> None:
    assert read(X) == (TEXTS, "text")


CELLS = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]])]


@pytest.mark.parametrize(
    "X",
    [
        CELLS,
        [cell.tolist() for cell in CELLS],
        [torch.from_numpy(cell) for cell in CELLS],
        [pd.DataFrame(cell) for cell in CELLS],
        of_objects([of_objects(list(cell)) for cell in CELLS]),
        pd.Series(of_objects([of_objects(list(cell)) for cell in CELLS]), index=[3, 3]),
        pd.Series([cell.tolist() for cell in CELLS]),
        pd.DataFrame({"s": of_objects([of_objects(list(cell)) for cell in CELLS])}),
        [[[Decimal(1), Decimal(2)], [Decimal(3), Decimal(4)]], [[Decimal(5), Decimal(6)]]],
        [cell.astype(np.longdouble) for cell in CELLS],
        [cell.astype(np.float16) for cell in CELLS],
        (cell for cell in CELLS),
    ],
    ids=lambda X: type(X).__name__,
)
def test_sequences_are_learnt_alike_whatever_holds_them(X: Any) -> None:
    rows, kind = read(X)
    assert kind == "numbers"
    assert [as_array(row).tolist() for row in rows] == [cell.tolist() for cell in CELLS]


@pytest.mark.parametrize(
    "X",
    [
        np.array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], dtype=np.longdouble),
        np.array([[1, 2], [3, 4]], dtype=object),
        [[1, 2], [3, 4]],
        [[Decimal(1), 2], [3, 4]],
        torch.tensor([[1, 2], [3, 4]]),
        pd.DataFrame([[1, 2], [3, 4]], index=[9, 9], columns=["a", "b"]),
        pd.DataFrame([[1, 2], [3, 4]], dtype="Int64"),
        np.ma.masked_array([[1, 2], [3, 4]], False),
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_tables_of_numbers(X: Any) -> None:
    rows, kind = read(X)
    assert kind == "numbers"
    assert np.array(rows, dtype=float).tolist() == [[1.0, 2.0], [3.0, 4.0]]


TEXT_AND_MORE = pd.DataFrame({"id": [1, 2], "review": TEXTS[:2]})


@pytest.mark.parametrize(
    ("X", "said"),
    [
        ("one text", "X is one text; give a list"),
        (b"one text", "X is one text in bytes"),
        ({"t": TEXTS}, "X is of type dict"),
        (set(TEXTS), "X is of type set"),
        (TEXT_AND_MORE, r"X has 2 columns, and 'review' holds text, .*; give one column, as X\['review'\]"),
        (pd.DataFrame({"id": [1, 2], "s": of_objects(CELLS)}), "'s' holds sequences"),
        (TEXT_AND_MORE.to_numpy(), "X is an array of texts with 2 columns"),
        (datasets.Dataset.from_dict({"t": TEXTS, "u": TEXTS}), r"X has 2 columns \('t', 'u'\)"),
        ([["a", "good"], ["film", "too"]], "row 1 of X is a list of texts; a row is one text"),
        ([{"text": "a"}, {"text": "b"}], "row 1 of X is a mapping; give the values of one column"),
        ([b"a", b"b"], "row 1 of X is bytes; decode them"),
        (pd.DataFrame({"a": pd.date_range("2024", periods=2), "b": 1.0}), "column 'a' of X holds times"),
        (np.array([[1 + 1j, 2], [3, 4]]), "^Complex data not supported$"),
        ([1.0, 2.0], "Expected 2D array, got 1D array instead: a row of X is one number"),
        (np.array([1.0, 2.0]), "Reshape your data"),
        ([[1, NAN], [2, 3]], r"^Input X contains NaN: 1 of 2 rows of X cannot be used \(row 1: 'X' has nan at step 2"),
        (np.ma.masked_array([[1, 2], [3, 4]], [[0, 0], [0, 1]]), "row 2: 'X' has nan at step 2"),
        (pd.DataFrame({"a": [1, None], "b": [1, 2]}, dtype="Int64"), "row 2: 'X' has nan at step 1"),
        ([[1, float("inf")], [2, 3]], "Input X contains infinity.*: 1 of 2 rows of X"),
        ([], r"Found array with 0 sample\(s\)"),
        (pd.DataFrame({"t": []}), r"Found array with 0 sample\(s\)"),
        (pd.Series([], dtype=object), r"Found array with 0 sample\(s\)"),
        (np.zeros((0, 3, 1)), r"Found array with 0 sample\(s\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_neither_is_said(X: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(X)


def test_sparse_matrices_are_refused_as_scikit_learn_does() -> None:
    with pytest.raises(TypeError, match="Sparse data was passed"):
        read(scipy.sparse.csr_matrix([[1.0, 0.0], [0.0, 1.0]]))


@pytest.fixture(scope="module")
def of_texts() -> Classifier:
    return Classifier(**QUICK).fit(TEXTS * 4, ["pos", "neg", "pos"] * 4)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (["good", NAN, "bad"], r"^1 of 3 rows of X cannot be used \(row 2: 'X' is null\)$"),
        (pd.Series(["good", pd.NA], dtype="string"), r"row 2: 'X' is null"),
        (["good", None], "row 2: 'X' is null"),
        ([None, None], "row 1: 'X' is null; row 2: 'X' is null"),
        (["good", 5], "row 2: 'X' holds int, not text"),
        ([[1.0, 2.0], [3.0]], "X holds numbers, but the model was fitted on the other"),
        ([], r"Found array with 0 sample\(s\)"),
        (pd.DataFrame({"t": []}), r"Found array with 0 sample\(s\)"),
    ],
    ids=str,
)
def test_predict_names_the_rows(of_texts: Classifier, X: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        of_texts.predict(X)


@pytest.mark.parametrize("missing", [None, NAN, pd.NA])
def test_fit_names_rows_among_texts_and_among_sequences(missing: Any) -> None:
    with pytest.raises(DataError, match=r"1 of 4 rows of X cannot be used \(row 4: 'X' is null\)"):
        Classifier().fit([*TEXTS, missing], [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"1 of 3 rows of X cannot be used \(row 1: 'X' is null\)"):
        Regressor().fit([missing, *CELLS], [0.0, 1.0, 2.0])


def test_half_an_emoji_is_answered(of_texts: Classifier) -> None:
    odd, plain = of_texts.predict_proba(["good \ud83d", "good ?"])
    assert odd.tolist() == plain.tolist()


def test_cells_of_parquet_are_learnt_as_lists_are(tmp_path: Any) -> None:
    lists = [[[float(i + t), 1.0] for t in range(1 + i % 3)] for i in range(12)]
    y = [0.0, 1.0] * 6
    options: dict[str, Any] = {"hidden_size": 4, "epochs": 1, "threads": 1}
    pd.DataFrame({"s": lists}).to_parquet(tmp_path / "rows.parquet")
    cells = pd.read_parquet(tmp_path / "rows.parquet")["s"]
    wanted = Regressor(**options).fit(lists, y).predict(lists)
    assert Regressor(**options).fit(cells, y).predict(cells).tolist() == wanted.tolist()
    assert Regressor(**options).fit(cells.to_frame(), y).predict(cells.to_numpy()).tolist() == wanted.tolist()


@pytest.mark.parametrize("kind", [Classifier, Regressor, Tagger, Forecaster, LanguageModel])
def test_options_of_files_are_no_parameters(kind: type) -> None:
    assert not set(defaults([SourceOptions])) & set(kind().get_params())
