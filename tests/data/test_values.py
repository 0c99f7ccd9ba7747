from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from unroll.data.values import has_half_character, is_missing


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        np.float32("nan"),
        np.longdouble("nan"),
        pd.NA,
        pd.NaT,
        np.datetime64("NaT"),
        np.ma.masked,
        np.timedelta64("NaT"),
        Decimal("nan"),
        Decimal("sNaN"),
        complex("nan"),
    ],
    ids=repr,
)
def test_what_stands_for_no_value(value: object) -> None:
    assert is_missing(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "NA",
        "nan",
        "None",
        "null",
        b"nan",
        0,
        0.0,
        False,
        float("inf"),
        Decimal(1),
        Fraction(1, 2),
        [],
        [None],
        np.array([np.nan]),
        {},
        pd.Timestamp("2024-01-01"),
        np.datetime64("2024-01-01"),
        Ellipsis,
    ],
    ids=repr,
)
def test_text_and_values_stand_for_themselves(value: object) -> None:
    assert not is_missing(value)


def test_half_of_an_emoji_is_told_from_a_whole_one() -> None:
    assert has_half_character("ab\ud83d")
    assert has_half_character("\ude00c")
    assert not has_half_character("é \U0001f600 电")
    assert not has_half_character("")
