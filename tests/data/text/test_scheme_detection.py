from __future__ import annotations

import numpy as np
import pytest

from unroll.data.text.scheme_detection import Fit, scheme_fits


def fits(sentences: list[str], names: list[str] | None = None) -> list[Fit]:
    lists = [s.split() for s in sentences]
    tags = names or sorted({tag for s in lists for tag in s})
    more = [*tags, *sorted({tag for s in lists for tag in s} - set(tags))]
    return scheme_fits(tags, [np.array([more.index(t) for t in s], np.int32) for s in lists])


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["O B-X I-X", "B-X B-X"], "BIO"),
        (["O I-X I-X", "I-X B-X I-Y"], "IOB1"),
        (["O I-X I-X"], "IOB1"),
        (["B-X E-X O S-Y"], "BIOES"),
        (["B-X I-X E-X"], "BIOES"),
        (["B-X L-X O U-Y"], "BILOU"),
        (["B M E S", "S S B E"], "BMES"),
        (["B-X M-X E-X O W-Y"], "BMEWO"),
        (["I-X E-X O E-Y E-Y"], "IOE2"),
        (["I-X E-X I-X O I-Y"], "IOE1"),
    ],
)
def test_the_scheme_is_the_first_that_all_sentences_keep(sentences: list[str], scheme: str) -> None:
    best = fits(sentences)[0]
    assert (best.scheme, best.kept, best.of, best.first) == (scheme, len(sentences), len(sentences), -1)
    assert best.chosen


def test_sentences_without_spans_and_with_unknown_tags_say_nothing() -> None:
    best, second, *_ = fits(["O O", "B-X I-X", "I-X Z", "O", "B-X O I-X"], ["B-X", "I-X", "O"])
    assert best == Fit("BIO", 1, 2, 4)
    assert second == Fit("BIOES", 0, 2, 1)
    assert not best.chosen
    assert [fit.of for fit in fits(["O O"])] == [0] * 8


def test_nearly_all_sentences_choose() -> None:
    good, bad = ["O I-X I-X B-X"] * 38, ["O B-X"]
    assert fits(good + bad * 2)[0] == Fit("IOB1", 38, 40, 38)
    assert fits(good + bad * 2)[0].chosen
    best = fits(bad * 3 + good)[0]
    assert best == Fit("IOB1", 38, 41, 0)
    assert not best.chosen
    assert best.share == pytest.approx(38 / 41)
