from __future__ import annotations

import pytest

from unroll.data.sampler import EpochSampler as Base
from unroll.errors import DataError, OptionError, RunError


class Order(Base[list[int]]):
    """Its batches are the numbers of their rows."""

    def _make(self, number: int) -> list[int]:
        return self.plan()[number][self.rank :: self.world].tolist()


def epoch(order: Order) -> list[list[int]]:
    return list(order)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [1, 7, 100, 103, 500])
def test_every_row_once(shuffle: bool, size: int) -> None:
    batches = epoch(Order(103, size, shuffle=shuffle, seed=1))
    assert sorted(row for batch in batches for row in batch) == list(range(103))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, other = (Order(50, 8, shuffle=True, seed=seed) for seed in (3, 3, 4))
    assert epoch(first) == epoch(again) != epoch(other)
    again.set_epoch(1)
    assert epoch(first) != epoch(again)
    assert epoch(Order(5, 5, shuffle=True, seed=0)) == [[3, 2, 1, 0, 4]]
    still = Order(50, 8, shuffle=False, seed=0)
    still.set_epoch(9)
    assert epoch(still)[0] == list(range(8))


@pytest.mark.parametrize(("rows", "size", "world"), [(17, 4, 2), (16, 4, 4), (3, 4, 3), (18, 8, 3)])
def test_processes_share_every_batch(rows: int, size: int, world: int) -> None:
    whole = Order(rows, size, shuffle=True, seed=0)
    parts = [whole.shard(rank, world) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    for i, each in enumerate(zip(*parts, strict=True)):
        assert all(each)
        together = parts[0].plan()[i].tolist()
        assert [together[rank::world] for rank in range(world)] == list(each)
    assert sorted(row for part in parts for batch in part for row in batch) == list(range(rows))
    assert [len(batch) for batch in whole] == [size] * (rows // size) + [rows % size] * (rows % size > 0)


def test_a_process_starts_at_the_beginning() -> None:
    order = Order(50, 8, shuffle=True, seed=3)
    order.load_state_dict({**order.state_dict(), "epoch": 2, "position": 3})
    part = order.shard(1, 2)
    assert (part.epoch, part.position, part.rank, part.world) == (0, 0, 1, 2)
    assert len(epoch(part)) == len(order) == 7
    assert (order.epoch, order.position, order.world) == (2, 3, 1)
    assert len(epoch(order)) == 4


def test_going_on_where_it_stood() -> None:
    order = Order(50, 8, shuffle=True, seed=3)
    order.set_epoch(2)
    whole = epoch(order)
    taken = iter(order)
    for _ in range(3):
        next(taken)
    assert order.position == 3
    other = Order(50, 8, shuffle=True, seed=3)
    other.load_state_dict(order.state_dict())
    other.set_epoch(2)
    assert epoch(other) == whole[3:]
    assert epoch(other) == whole
    other.load_state_dict(order.state_dict())
    other.set_epoch(3)
    assert len(epoch(other)) == len(order)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 51}, "cannot continue: rows was 51 when the checkpoint was written, now it is 50"),
        ({"seed": 4}, "seed was 4"),
        ({"batch_size": 9}, "batch_size was 9"),
        ({"position": 99}, "damaged"),
        ({"epoch": -1}, "damaged"),
        ({"epoch": True}, "damaged"),
        ({"more": 1}, "damaged"),
    ],
)
def test_a_state_that_does_not_fit(change: dict[str, int], message: str) -> None:
    order = Order(50, 8, shuffle=True, seed=3)
    with pytest.raises(RunError) as error:
        order.load_state_dict({**order.state_dict(), **change})
    assert message in str(error.value)


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="there are no windows"):
        Order(0, 8, shuffle=False, seed=0, what="windows")
    with pytest.raises(OptionError, match="batch_size is 0"):
        Order(5, 0, shuffle=False, seed=0)
    with pytest.raises(OptionError, match="batch_size is 2, but 3 processes need at least a row each"):
        Order(5, 2, shuffle=False, seed=0).shard(0, 3)
    with pytest.raises(DataError, match="there are 5 windows, but 6 processes need at least one each"):
        Order(5, 8, shuffle=False, seed=0, what="windows").shard(0, 6)
    with pytest.raises(OptionError, match="rank is 2"):
        Order(5, 8, shuffle=False, seed=0).shard(2, 2)
