from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest
import torch
from torch import nn

from unroll.training.diagnostics import GradientMonitor, OutputMonitor, groups, overfitting
from unroll.training.history import read_table, write_gradients, write_history


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.recurrent = nn.GRU(3, 2, 2, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


LAYERS = ["embedding", "recurrent.l0", "recurrent.l1", "head"]


def test_parameters_are_grouped_by_layer() -> None:
    assert GradientMonitor(Two()).layers == LAYERS
    assert groups(["weight_ih_l0", "weight_hh_l12_reverse", "bias"]) == ["l0", "l12", "bias"]
    assert groups(["a.b.weight_ih_l1", "scale"]) == ["a.l1", "scale"]
    chain = ["r.0.weight_ih_l0", "r.0.weight_ih_l1_reverse", "r.0.initial_h", "r.1.bias_hh_l0", "r.1.initial_h"]
    assert groups(chain) == ["r.l0", "r.l1", "r.l1", "r.l2", "r.l2"]
    assert groups(["r.weight_ih_l0", "r.weight_ih_l1", "r.norm_l0.weight", "s.norm_l0.weight"]) == [
        *("r.l0", "r.l1", "r.l0", "s.l0")
    ]
    assert groups(["in.embedding.weight", "in.letters.rnn.weight_ih_l0", "in.letters.scale"]) == ["in", "in.l0", "in"]


def test_norms_equal_those_of_the_concatenated_gradients() -> None:
    model = Two().double()
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    watch = GradientMonitor(model)
    values = [p.grad.norm().item() for p in model.parameters()]
    total, layers = watch.norms(range(len(values)), values)
    assert total == pytest.approx(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item(), rel=1e-12)
    recurrent = [p.grad.flatten() for n, p in model.recurrent.named_parameters() if "_l1" in n]
    assert layers[2] == pytest.approx(torch.cat(recurrent).norm().item(), rel=1e-12)
    present = [i for i, n in enumerate(watch.names) if n.startswith("head")]
    assert watch.norms(present, [values[i] for i in present])[1][:3] == [0.0, 0.0, 0.0]


def test_exploding_by_size_by_jump_and_by_constant_clipping() -> None:
    watch = GradientMonitor(Two())
    assert watch.step(1, 9e3, [1.0] * 4) == []
    assert watch.step(2, 2e4, [1.0] * 4)[0][0] == "exploding"
    watch = GradientMonitor(Two())
    for n in range(1, 41):
        assert watch.step(n, 0.5, [0.1] * 4) == []
    assert watch.step(41, 49.0, [0.1] * 4) == []
    ((name, what),) = watch.step(42, 51.0, [0.1] * 4)
    assert name == "exploding"
    assert "51 at step 42 (usually 0.5)" in what
    watch = GradientMonitor(Two(), max_grad_norm=1.0)
    found = [watch.step(n, 1.5 if n % 3 else 0.5, [0.1] * 4) for n in range(1, 201)]
    assert not any(found[:199])
    assert "67% of the last 200 gradients were longer than max_grad_norm 1" in found[199][0][1]


def test_vanishing_after_fifty_faint_steps_in_a_row() -> None:
    faint = [1.0, 1e-9, 1e-3, 1.0]
    watch = GradientMonitor(Two())
    for n in range(1, 50):
        assert watch.step(n, 1.0, faint) == []
    assert watch.step(50, 1.0, [1.0, 1e-2, 1.0, 1.0]) == []
    for n in range(51, 100):
        assert watch.step(n, 1.0, faint) == []
    ((name, what),) = watch.step(100, 1.0, faint)
    assert name == "vanishing"
    assert "recurrent.l0 got hardly any gradient (norm 1e-09 beside 0.001 in recurrent.l1 at step 100)" in what


def test_frozen_layers_are_not_taken_for_vanishing() -> None:
    watch = GradientMonitor(Two())
    watch.freeze(frozenset(LAYERS[:3]))
    assert [watch.step(n, 1.0, [0.0, 0.0, 0.0, 1.0]) for n in range(1, 101)] == [[]] * 100
    watch.freeze(frozenset(LAYERS[:2]))
    assert [watch.step(n, 1.0, [0.0, 0.0, 1.0, 1.0]) for n in range(101, 201)] == [[]] * 100
    # what is trained and gets nothing is still named, fifty steps after it began to be trained
    watch.freeze(frozenset())
    found = [watch.step(n, 1.0, [0.0, 0.0, 1.0, 1.0]) for n in range(201, 252)]
    assert found[:49] == [[]] * 49
    assert "recurrent.l0 got hardly any gradient (norm 0 beside 1 in recurrent.l1 at step 250)" in found[49][0][1]


def test_the_table_stays_small_and_even() -> None:
    watch = GradientMonitor(Two())
    for n in range(1, 20_001):
        watch.step(n, float(n), [0.0] * 4)
    steps = [row[0] for row in watch.rows]
    assert len(steps) <= 2000
    assert steps[0] == 1
    assert {b - a for a, b in itertools.pairwise(steps)} == {16.0}
    assert steps[-1] > 19_980


def test_a_watch_goes_on_from_its_state() -> None:
    one, other = GradientMonitor(Two(), 0.4), GradientMonitor(Two(), 0.4)
    values = (torch.rand(5000, generator=torch.Generator().manual_seed(1)) * 60).tolist()
    found = [one.step(n + 1, v, [v] * 4) for n, v in enumerate(values[:2500])]
    other.load_state_dict(one.state_dict())
    for n, v in enumerate(values[2500:]):
        assert one.step(2501 + n, v, [v] * 4) == other.step(2501 + n, v, [v] * 4)
    assert one.rows == other.rows
    assert one._median == other._median == pytest.approx(statistics.median(values[-200:]))
    assert any(found)


def test_overfitting_needs_three_rises_while_training_falls() -> None:
    def history(train: list[float], valid: list[float]) -> list[dict[str, float]]:
        return [{"train_loss": t, "valid_loss": v} for t, v in zip(train, valid, strict=True)]

    assert overfitting(history([4, 3, 2], [1, 2, 3])) is None
    assert "rose from 1 to 4" in str(overfitting(history([5, 4, 3, 2], [1, 2, 3, 4])))
    assert overfitting(history([5, 4, 3, 3], [1, 2, 3, 4])) is None
    assert overfitting(history([5, 4, 3, 2], [1, 2, 2, 4])) is None
    assert overfitting([{"train_loss": 1.0}] * 5) is None


def passes(outputs: list[torch.Tensor], target: torch.Tensor | None, times: int = 1) -> list[list]:
    watch, found = OutputMonitor(), []
    for _ in range(times):
        watch.start()
        for out in outputs:
            watch.update(out, target)
        found.append(watch.finish(watch.extremes()))
    return found


def test_dead_outputs() -> None:
    classes = torch.tensor([0, 1, 2, 1])
    same = torch.tensor([[0.3, -2.0, 1e-9]]).expand(4, 3)
    ((trouble,),) = passes([same, same], classes)
    assert trouble == ("dead outputs", "the model gives the same answer for every row of the validation data")
    assert passes([same], torch.tensor([1, 1, 1, 1])) == [[]]
    assert passes([same], None)[0][0][0] == "dead outputs"
    lively = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert passes([lively], classes, 4) == [[]] * 4
    one = lively + torch.tensor([0.0, 5.0, 0.0])
    found = passes([one], classes, 3)
    assert found[:2] == [[], []]
    assert "every row was given class number 1" in found[2][0][1]
    numbers = torch.tensor([[0.1], [0.1], [0.1]])
    assert passes([numbers], numbers)[0][0][0] == "dead outputs"
    assert passes([torch.tensor([1.0, 2.0])], None) == [[]]
    assert passes([torch.full((3, 2), float("nan"))], None) == [[]]


def test_tables_read_back_to_the_same_bits(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "train_loss": 1 / 3}, {"epoch": 2.0, "train_loss": 0.1 + 0.2, "valid_loss": 5e-324}]
    write_history(tmp_path / "h.csv", rows)
    table = read_table(tmp_path / "h.csv")
    assert table["train_loss"] == [1 / 3, 0.1 + 0.2]
    assert table["valid_loss"][1] == 5e-324
    write_gradients(tmp_path / "g.csv", ["a", "b"], [[1.0, 0.5, 0.25, 0.125], [2.0, 1e-30, 0.0, 1.0]])
    assert (tmp_path / "g.csv").read_text() == "step,all,a,b\n1,0.5,0.25,0.125\n2,1e-30,0,1\n"
