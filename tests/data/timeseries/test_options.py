from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.errors import OptionError
from unroll.options import help_texts


def test_lists_become_tuples_and_every_option_has_a_help_text() -> None:
    options: Any = TimeSeriesOptions(target=["a", "b"], calendar=["auto"])  # type: ignore[arg-type]
    assert options.target == ("a", "b")
    assert options.calendar == ("auto",)
    texts = help_texts(TimeSeriesOptions)
    assert len(texts) == 13
    assert all(texts.values())


def test_options_import_no_library() -> None:
    code = (
        "import sys, unroll.data.timeseries.options;"
        " print([m for m in ('numpy', 'torch', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"target": ("a",), "past_covariates": ("b", "a")},
            "'a' is given as target and as past_covariates; a column is one of them",
        ),
        ({"target": ("a", "a")}, "'a' is given twice as target"),
        ({"time": "t", "future_covariates": ("t",)}, "'t' is given as time and as future_covariates"),
        ({"time": "t", "series_id": "t"}, "'t' is given as time and as series_id"),
        ({"calendar": ("hours",)}, "calendar is 'hours'; did you mean 'hour'?"),
        ({"calendar": ("auto", "hour")}, "calendar: 'auto' cannot be combined with other values"),
        ({"calendar": ("hour", "hour")}, "calendar names a cycle twice"),
        ({"gaps": "fil"}, "gaps is 'fil'; did you mean 'fill'?"),
        ({"target": 3}, "target is 3; it must be a list"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        TimeSeriesOptions(**values)
    assert message in str(error.value)
