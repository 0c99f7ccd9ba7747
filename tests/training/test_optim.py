from __future__ import annotations

import math

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from unroll.training.layerwise import Layerwise
from unroll.training.optim import make_optimizer, make_schedule
from unroll.training.options import TrainingOptions


def rates(total: int, per_epoch: int, **options) -> list[float]:
    opts = TrainingOptions(learning_rate=1.0, **options)
    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = make_optimizer([w], opts)
    schedule = make_schedule(optimizer, opts, per_epoch=per_epoch, total=total, better="min")
    seen = []
    for _ in range(total):
        w.grad = torch.zeros(2)
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule is not None:
            schedule.step()
    return seen


def test_schedules_give_the_rates_they_promise() -> None:
    assert rates(3, 1) == [1.0] * 3
    assert rates(8, 2, schedule="step", schedule_every=2, schedule_gamma=0.1) == pytest.approx([1] * 4 + [0.1] * 4)
    assert rates(4, 2, schedule="step") == [1, 1, 0.5, 0.5]
    assert rates(10, 1, schedule="warmup", warmup_share=0.4) == [0.25, 0.5, 0.75, *[1.0] * 7]
    assert rates(20, 1, schedule="warmup")[:3] == [0.5, 1.0, 1.0]
    assert rates(4, 1, schedule="warmup", warmup_share=0.0) == [1.0] * 4
    cosine = [0.5 * (1 + math.cos(math.pi * n / 8)) for n in range(8)]
    assert rates(8, 1, schedule="cosine") == pytest.approx(cosine)
    assert rates(10, 1, schedule="cosine", warmup_share=0.2) == pytest.approx([0.5, 1.0, *cosine])


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 20, 100])
@pytest.mark.parametrize("share", [None, 1e-6, 0.3, 0.99])
def test_onecycle_rises_to_the_rate_and_falls_for_any_length(total: int, share: float | None) -> None:
    seen = rates(total, 1, schedule="onecycle", warmup_share=share)
    assert seen[0] == pytest.approx(1 / 25)
    assert max(seen) <= 1.0 + 1e-12
    if total >= 20:
        assert max(seen) > 0.9
        assert share == 0.99 or seen[-1] < 0.05
        assert total != 100 or share != 0.3 or seen.index(max(seen)) == pytest.approx(29, abs=1)


def test_plateau_drops_after_the_epochs_it_was_told() -> None:
    opts = TrainingOptions(learning_rate=1.0, schedule="plateau", schedule_every=2, schedule_gamma=0.25)
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], opts)
    schedule = make_schedule(optimizer, opts, per_epoch=3, total=30, better="max")
    assert isinstance(schedule, ReduceLROnPlateau)
    seen = []
    for value in (0.5, 0.6, 0.6, 0.55, 0.61, 0.1, 0.2):
        schedule.step(value)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1, 1, 1, 0.25, 0.25, 0.25, 0.0625]


@pytest.mark.parametrize(
    ("options", "twin"),
    [
        ({"optimizer": "adam", "weight_decay": 0.1}, lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.1)),
        ({"optimizer": "adamw", "weight_decay": 0.1}, lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1)),
        ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.0)),
        ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
        ({"optimizer": "sgd", "momentum": 0.0}, lambda p: torch.optim.SGD(p, 0.05)),
        ({"optimizer": "sgd", "momentum": 0.5}, lambda p: torch.optim.SGD(p, 0.05, momentum=0.5)),
        ({"optimizer": "rmsprop", "weight_decay": 0.1}, lambda p: torch.optim.RMSprop(p, 0.05, weight_decay=0.1)),
        ({"optimizer": "rmsprop", "momentum": 0.5}, lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.5)),
    ],
)
def test_optimizers_step_as_torchs(options: dict, twin) -> None:
    ours = torch.nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    theirs = torch.nn.Parameter(ours.detach().clone())
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    one, other = make_optimizer([ours, frozen], TrainingOptions(learning_rate=0.05, **options)), twin([theirs])
    for n in range(5):
        for p, o in ((ours, one), (theirs, other)):
            p.grad = p.detach().cos() * (n + 1)
            o.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"optimizer": "sgd", "momentum": 0.8}, "momentum", 0.8),
        ({"optimizer": "sgd"}, "momentum", 0.9),
        ({"optimizer": "sgd", "momentum": 0.0}, "momentum", 0.0),
        ({"optimizer": "adam"}, "betas", (0.9, 0.999)),
        ({"optimizer": "adamw"}, "betas", (0.9, 0.999)),
    ],
)
def test_onecycle_leaves_the_momentum_as_it_was_asked_for(options: dict, name: str, value: object) -> None:
    settings = TrainingOptions(schedule="onecycle", **options)
    w = torch.nn.Parameter(torch.zeros(2))
    w.grad = torch.zeros(2)
    optimizer = make_optimizer([w], settings)
    schedule = make_schedule(optimizer, settings, per_epoch=4, total=12, better="min")
    assert schedule is not None
    for _ in range(12):
        assert optimizer.param_groups[0][name] == value
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "warmup", "plateau", "onecycle"])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_schedule_scales_the_rates_of_all_layers_alike(schedule: str, name: str) -> None:
    def run(decay: float) -> list[list[float]]:
        opts = TrainingOptions(learning_rate=0.3, layer_decay=decay, schedule=schedule, optimizer=name)
        model = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3)))
        optimizer = make_optimizer(Layerwise(model, opts).parameter_groups(), opts)
        steps = make_schedule(optimizer, opts, per_epoch=3, total=30, better="min")
        seen = []
        for n in range(30):
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            seen.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            if isinstance(steps, ReduceLROnPlateau):
                steps.step(float(n))
            elif steps is not None:
                steps.step()
        return seen

    same, layered = run(1.0), run(0.25)
    assert {len(rates) for rates in same} == {1}
    for (rate,), rates in zip(same, layered, strict=True):
        assert rates == pytest.approx([rate / 16, rate / 4, rate], rel=1e-9)
    assert schedule == "constant" or len({rate for (rate,) in same}) > 1
