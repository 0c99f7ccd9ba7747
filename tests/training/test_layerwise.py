"""Rates and beginnings of the layers: by hand, bit for bit where nothing may change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from helpers.training_toy import Toy, ToyObjective, toy_data
from unroll.data.batches import Batch
from unroll.training import checkpoints
from unroll.training.diagnostics import groups
from unroll.training.errors import Interrupted
from unroll.training.layerwise import Layerwise
from unroll.training.loop import fit
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

QUICK = {"learning_rate": 0.02, "threads": 1}
LAYERS = ["embedding", "recurrent.l0", "recurrent.l1", "head"]


def by_layer(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    found: dict[str, list[nn.Parameter]] = {}
    names = [n for n, _ in model.named_parameters()]
    for layer, p in zip(groups(names), model.parameters(), strict=True):
        found.setdefault(layer, []).append(p)
    return found


class Recording(ToyObjective):
    """Keeps every weight as it is before each training step."""

    def __init__(self, at: dict[int, str] | None = None) -> None:
        super().__init__(at)
        self.seen: list[dict[str, list[Tensor]]] = []

    def output(self, model: nn.Module, batch: Batch) -> Tensor:
        if model.training:
            self.seen.append({k: [p.detach().clone() for p in v] for k, v in by_layer(model).items()})
        return super().output(model, batch)


def test_groups_have_the_rate_of_their_layer() -> None:
    model = Toy()
    model.head.bias.requires_grad_(False)
    layers = Layerwise(model, TrainingOptions(learning_rate=0.8, layer_decay=0.5))
    found = layers.parameter_groups()
    assert [g["lr"] for g in found] == [0.1, 0.2, 0.4, 0.8]
    assert [len(g["params"]) for g in found] == [1, 4, 4, 1]
    assert found[3]["params"][0] is model.head.weight
    (one,) = Layerwise(model, TrainingOptions(learning_rate=0.8)).parameter_groups()
    assert (one["lr"], len(one["params"])) == (0.8, 10)


def test_a_shared_weight_is_of_the_first_layer_that_has_it() -> None:
    model = Toy()
    model.recurrent = nn.LSTM(8, 8, 1)
    model.head = nn.Linear(8, 20)
    model.head.weight = model.embedding.weight
    found = Layerwise(model, TrainingOptions(layer_decay=0.5)).parameter_groups()
    assert [len(g["params"]) for g in found] == [1, 4, 1]
    assert found[0]["params"][0] is model.head.weight
    assert found[2]["params"][0] is model.head.bias


def test_layers_open_from_the_top_down() -> None:
    model = Toy()
    layers = Layerwise(model, TrainingOptions(epochs=5, unfreeze_every=2))
    for epoch, trained in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (60, 4), (2, 2)]:
        layers.begin(epoch)
        assert layers.frozen == frozenset(LAYERS[: 4 - trained])
        for i, parameters in enumerate(by_layer(model).values()):
            assert all(p.requires_grad is (i >= 4 - trained) for p in parameters)
    layers.release()
    assert all(p.requires_grad for p in model.parameters())
    assert layers.plan() == (
        "at first only head is trained, recurrent.l1 from epoch 3 on, recurrent.l0 from epoch 5 on; "
        "embedding not at all in 5 epochs"
    )
    assert Layerwise(model, TrainingOptions()).plan() == ""


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_the_loop_is_the_plain_one_and_a_frozen_layer_keeps_every_bit(optimizer: str, tmp_path: Path) -> None:
    """Weight decay and momentum would move whatever the optimizer is shown."""
    more = {"momentum": 0.7} if optimizer in ("sgd", "rmsprop") else {}
    objective, fitted = Recording(), Toy(0.0)
    options = TrainingOptions(
        **QUICK, **more, epochs=3, max_steps=25, optimizer=optimizer, weight_decay=0.1, layer_decay=0.4,
        unfreeze_every=1, max_grad_norm=0.5, average="ema", schedule="step",
    )  # fmt: skip
    outcome = fit(fitted, objective, *toy_data(), options, tmp_path, quiet=True)
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx([0.02, 0.01, 0.005])
    start = by_layer(Toy(0.0))
    for step, weights in enumerate(objective.seen):
        still = 3 - min(3, max(0, step - 1) // 9)  # before step number `step`, one layer less with every epoch
        for i, layer in enumerate(LAYERS):
            same = all(torch.equal(a, b) for a, b in zip(weights[layer], start[layer], strict=True))
            assert same is (i < still or step == 0), (step, layer)
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    assert torch.equal(last["model"]["embedding.weight"], start["embedding"][0])
    assert torch.equal(last["average"]["average"][0], start["embedding"][0])
    assert 0 not in last["optimizer"]["state"]
    assert all(p.requires_grad for p in fitted.parameters())

    train, _ = toy_data()
    model = Toy(0.0)
    layers = list(by_layer(model).values())
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    each = [
        kind.get(optimizer, torch.optim.RMSprop)(p, lr=0.02 * 0.4 ** (3 - i), weight_decay=0.1, **more)
        for i, p in enumerate(layers)
    ]
    steps = 0
    for epoch in range(3):
        train.set_epoch(epoch)
        for batch in train:
            if steps == 25:
                break
            loss = ToyObjective().loss(model(batch.x, batch.lengths), batch)
            model.zero_grad()
            loss.backward()
            opened = layers[3 - epoch :]
            nn.utils.clip_grad_norm_([p for layer in opened for p in layer], 0.5)
            for one in each[3 - epoch :]:
                one.step()
            steps += 1
        for one in each:
            one.param_groups[0]["lr"] *= 0.5
    for name, p in model.state_dict().items():
        torch.testing.assert_close(last["model"][name], p, rtol=2e-4, atol=2e-6, msg=name)


def test_what_was_frozen_before_stays_so_however_it_ends(tmp_path: Path) -> None:
    model = Toy()
    model.embedding.weight.requires_grad_(False)
    options = TrainingOptions(**QUICK, epochs=4, unfreeze_every=1, layer_decay=0.5)
    with pytest.raises(Interrupted):
        fit(model, ToyObjective({3: "interrupt"}), *toy_data(), options, tmp_path, quiet=True)
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["embedding.weight"]
    start = Toy()
    assert torch.equal(model.recurrent.weight_ih_l1, start.recurrent.weight_ih_l1)
    fit(model, ToyObjective(), *toy_data(), options, tmp_path, resume=True, quiet=True)
    last = checkpoints.load(tmp_path / "checkpoints" / "last")["model"]
    assert torch.equal(last["embedding.weight"], start.embedding.weight)
    assert not torch.equal(last["recurrent.weight_ih_l0"], start.recurrent.weight_ih_l0)
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["embedding.weight"]


def test_a_layer_that_waits_is_not_said_to_vanish(tmp_path: Path) -> None:
    options = TrainingOptions(**QUICK, epochs=7, unfreeze_every=100)
    outcome = fit(Toy(), ToyObjective(), *toy_data(), options, tmp_path, quiet=True)
    assert outcome.steps == 63
    assert [w for w in outcome.warnings if w.startswith("vanishing")] == []


def test_it_is_said_when_each_layer_begins(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = TrainingOptions(**QUICK, epochs=1, unfreeze_every=1)
    fit(Toy(), ToyObjective(), *toy_data(), options, tmp_path)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(
        "at first only head is trained; recurrent.l1 and recurrent.l0 and embedding not at all in 1"
    )
