"""Group records: as many as are answered at once, or as many as have arrived."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def grouped(records: Iterable[T], full: Callable[[list[T], T], bool]) -> Iterator[list[T]]:
    """Group records; if the source fails, the records before the failure form a group, and then the error is raised.

    Args:
        records: the source.
        full: returns whether a group has no room for the next record; called once for each record.
    """
    group: list[T] = []
    failure: Exception | None = None
    iterator = iter(records)
    while True:
        try:
            record = next(iterator)
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        if full(group, record) and group:
            yield group
            group = []
        group.append(record)
    if group:
        yield group
    if failure is not None:
        raise failure


def arriving(records: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Group the records that a reader thread has ready, so that records of a slow source do not wait.

    Args:
        records: the source; if it fails, the records before the failure form a group, and then the error is raised.
        most: records in a group, and read ahead.
    """
    arrived: queue.Queue[Any] = queue.Queue(most)
    end = object()

    def bring() -> None:
        try:
            for record in records:
                arrived.put(record)
        except BaseException as error:
            arrived.put(error)
        arrived.put(end)

    threading.Thread(target=bring, daemon=True).start()
    group: list[Any] = []
    while True:
        if group and (arrived.empty() or len(group) == most):
            yield group
            group = []
        item = arrived.get()
        if item is end or isinstance(item, BaseException):
            if group:
                yield group
            if item is end:
                return
            raise item
        group.append(item)
