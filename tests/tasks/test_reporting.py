from __future__ import annotations

from unroll.tasks.reporting import kept_classes, score_table


def scores(n: int) -> dict[str, dict[str, float]]:
    """Class i has i rows and an F1 that falls with i from 5 on."""
    return {
        f"c{i}": {"precision": 0.5, "recall": 0.5, "f1": 0.1 * i if i < 5 else 0.9 - i / 1000, "rows": i}
        for i in range(n)
    }


def test_a_table_of_few_classes_has_them_all() -> None:
    assert len(score_table("class", scores(15), "rows", "rows")) == 16


def test_a_table_of_many_classes_has_the_largest_and_the_worst() -> None:
    kept = kept_classes(scores(120), "rows")
    assert kept[-10:] == [f"c{i}" for i in range(110, 120)]
    assert kept[:5] == ["c1", "c2", "c3", "c4", "c109"]  # c0 has no rows
    lines = score_table("class", scores(120), "rows", "rows")
    assert len(lines) == 17
    assert lines[-1] == "105 more are left out: these are the largest, and those with the lowest f1; --full shows all"
    assert len(score_table("class", scores(120), "rows", "rows", every=True)) == 121
