from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from unroll.data.groups import arriving, grouped
from unroll.errors import DataError


def broken() -> Iterator[int]:
    yield from (1, 2, 3)
    raise DataError("broken")


def test_a_group_ends_where_it_is_full() -> None:
    assert list(grouped(range(5), lambda group, _: len(group) == 2)) == [[0, 1], [2, 3], [4]]
    assert list(grouped([5, 1, 1, 9, 1], lambda group, record: sum(group) + record > 6)) == [[5, 1], [1], [9], [1]]
    assert list(grouped([], lambda group, _: True)) == []


def test_what_came_before_a_failure_is_a_group() -> None:
    for groups in (grouped(broken(), lambda group, _: len(group) == 2), arriving(broken(), 2)):
        assert [record for _ in range(2) for record in next(groups)] == [1, 2, 3]
        with pytest.raises(DataError, match="broken"):
            next(groups)


def test_what_has_arrived_does_not_wait_for_more() -> None:
    more = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert more.wait(20)
        yield 2

    groups = arriving(slow(), 10)
    assert next(groups) == [1]
    more.set()
    assert next(groups) == [2]
