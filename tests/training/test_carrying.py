"""Any source of batches, any kind of output, and a state that an objective carries from batch to batch."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional

from helpers.streams_toy import Carrying, Speaker, Window, Windows, streams
from unroll.errors import RunError
from unroll.training import checkpoints
from unroll.training.checkpointer import _moved
from unroll.training.console import Reporter
from unroll.training.distributed import gather
from unroll.training.errors import Interrupted, TrainingError
from unroll.training.history import read_table
from unroll.training.loop import Outcome, _train, fit
from unroll.training.nonfinite import blame
from unroll.training.objective import objective_state, watched_output
from unroll.training.options import TrainingOptions

pytestmark = pytest.mark.slow

PER_EPOCH = 10
QUICK = {"epochs": 3, "learning_rate": 0.05, "threads": 1, "checkpoint_every": 4}


def run(folder: Path, objective: Carrying, *, dropout: float = 0.2, stop_at: int = 0, **options):
    model = Speaker(dropout)
    outcome = _train(
        model, objective, *streams(), TrainingOptions(**QUICK | options), folder, resume=True, quiet=True, seed=0,
        identity="", monitor=("perplexity", "min"), stopped=lambda: 0 < stop_at <= objective.calls,
    )  # fmt: skip
    return model, outcome


def plain() -> tuple[Speaker, list[float], list[float]]:
    """The same training in a plain loop: the weights, and the training and validation losses of each epoch."""
    model = Speaker(0.0)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    losses: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for training, source in ((True, streams()[0]), (False, streams()[1])):
            state, seen = None, []
            for batch in source:
                with torch.set_grad_enabled(training):
                    logits, state = model(batch.x, state)
                    loss = functional.cross_entropy(logits.flatten(0, 1), batch.target.flatten())
                state = state.detach()
                seen.append(loss.item())
                if training:
                    optimizer.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                    optimizer.step()
            losses[not training].append(sum(seen) / len(seen))
    return model, *losses


def test_truncated_windows_train_as_in_a_plain_loop(tmp_path: Path) -> None:
    _, outcome = run(tmp_path, Carrying(), dropout=0.0)
    model, train, valid = plain()
    assert [row["train_loss"] for row in outcome.history] == pytest.approx(train, rel=1e-5)
    assert [row["valid_loss"] for row in outcome.history] == pytest.approx(valid, rel=1e-5)
    assert [row["valid_perplexity"] for row in outcome.history] == pytest.approx([math.exp(v) for v in valid], rel=1e-5)
    assert outcome.best_value == min(row["valid_perplexity"] for row in outcome.history)
    last = checkpoints.load(tmp_path / "checkpoints" / "last")
    for name, p in model.state_dict().items():
        torch.testing.assert_close(last["model"][name], p, rtol=1e-3, atol=1e-5, msg=name)
    assert read_table(tmp_path / "history.csv")["valid_perplexity"] == [
        row["valid_perplexity"] for row in outcome.history
    ]


def timeless(outcome: Outcome) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in outcome.history]


def test_a_carried_state_goes_through_a_stop_bit_for_bit(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", Carrying())
    # within an epoch, twice; at an epoch's last batch; within the last epoch
    for before, step in itertools.pairwise((0, 3, 14, 20, 27)):
        with pytest.raises(Interrupted) as stop:
            run(tmp_path / "cut", Carrying(), stop_at=step - before)
        assert (stop.value.step, stop.value.saved) == (step, True)
        last = checkpoints.load(tmp_path / "cut" / "checkpoints" / "last")
        (carried,) = last["objective"]
        assert carried["state"].shape == (1, 4, 8)
    resumed = run(tmp_path / "cut", Carrying())
    for (name, p), q in zip(whole[0].state_dict().items(), resumed[0].state_dict().values(), strict=True):
        assert torch.equal(p, q), name
    assert timeless(resumed[1]) == timeless(whole[1])
    ends = [checkpoints.load(tmp_path / n / "checkpoints" / "last")["objective"][0]["state"] for n in ("whole", "cut")]
    assert torch.equal(*ends)
    # the state is what makes it so: without it the run goes on otherwise
    with pytest.raises(Interrupted):
        run(tmp_path / "bare", Carrying(carries=False), stop_at=14)
    bare = run(tmp_path / "bare", Carrying(carries=False))
    assert not torch.equal(bare[0].head.weight, whole[0].head.weight)


@pytest.mark.parametrize("damage", [None, [], [{}], [{"state": 3}], [3]])
def test_a_carried_state_that_is_damaged(damage, tmp_path: Path) -> None:
    class Strict(Carrying):
        def load_state_dict(self, state: dict) -> None:
            self.state[True] = state["state"].clone()

    with pytest.raises(Interrupted):
        run(tmp_path, Carrying(), stop_at=14)
    last = tmp_path / "checkpoints" / "last"
    checkpoints.save(last, checkpoints.load(last) | {"objective": damage})
    with pytest.raises(RunError, match="is damaged: its objective's state cannot be put back"):
        run(tmp_path, Strict())


def test_a_carried_state_comes_back_on_the_device_of_the_training() -> None:
    value = {"state": [torch.ones(2), (None, torch.zeros(1, dtype=torch.int64)), 3], "name": "a"}
    moved = _moved(value, torch.device("meta"))
    assert moved["state"][0].device.type == moved["state"][1][1].device.type == "meta"
    assert (type(moved["state"][1]), moved["state"][1][0], moved["state"][2:], moved["name"]) == (tuple, None, [3], "a")


def test_an_objective_that_says_it_carries_nothing(tmp_path: Path) -> None:
    class Nothing(Carrying):
        def state_dict(self):
            return None

        def load_state_dict(self, state: dict) -> None:
            raise AssertionError("there was nothing to load")

    with pytest.raises(Interrupted):
        run(tmp_path, Nothing(), stop_at=14)
    assert checkpoints.load(tmp_path / "checkpoints" / "last")["objective"] is None
    assert run(tmp_path, Nothing())[1].stopped == "finished"


def test_an_objective_without_a_state_leaves_none() -> None:
    class Bare:
        pass

    assert objective_state(Bare()) is None  # type: ignore[arg-type]
    assert objective_state(Carrying()) == {"state": None}


def test_a_source_that_was_changed_refuses_its_own_way(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, Carrying(), stop_at=14)
    train, valid = streams()
    train.steps = 7
    with pytest.raises(RunError, match="steps was 5, now it is 7"):
        fit(Speaker(), Carrying(), train, valid, TrainingOptions(**QUICK), tmp_path, resume=True, quiet=True)


def test_what_is_watched_is_what_the_objective_says() -> None:
    logits, batch = torch.zeros(4, 5, 11), next(iter(streams()[0]))

    class Plain:
        pass

    class Silent:
        def watched(self, output, batch):
            return None

    seen = watched_output(Carrying(), (logits, logits), batch)
    assert seen is not None
    assert seen[0] is logits
    assert seen[1] is batch.target
    plain = watched_output(Plain(), logits, batch)  # type: ignore[arg-type]
    assert plain is not None
    assert plain[0] is logits
    assert watched_output(Plain(), (logits,), batch) is None  # type: ignore[arg-type]
    assert watched_output(Silent(), logits, batch) is None  # type: ignore[arg-type]


def test_dead_outputs_are_seen_in_what_is_watched(tmp_path: Path) -> None:
    model = Speaker()
    for p in model.head.parameters():
        p.requires_grad_(False).zero_()
    options = TrainingOptions(epochs=1, threads=1)
    outcome = fit(model, Carrying(), *streams(), options, tmp_path / "watched", quiet=True)
    assert outcome.warnings[0].startswith("dead outputs: the model gives the same answer for every row")

    class Silent(Carrying):
        def watched(self, output, batch):
            return None

    assert fit(model, Silent(), *streams(), options, tmp_path / "silent", quiet=True).warnings == []


def test_the_rate_is_of_what_the_batches_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = []
    monkeypatch.setattr(Reporter, "_line", lambda self, text: said.append(text))
    monkeypatch.setattr("unroll.training.console.Console", lambda stderr: Console(quiet=True))
    fit(Speaker(), Carrying(), *streams(), TrainingOptions(**QUICK | {"epochs": 1}), tmp_path)
    (line,) = said
    assert "  perplexity " in line
    assert " tokens/s  " in line


class Bad(Windows):
    """The named field of the second stream of the third window is not finite."""

    field = "weight"

    def __iter__(self):
        for n, batch in enumerate(super().__iter__()):
            if n == 2:
                getattr(batch, self.field)[1, 3] = math.inf
            yield batch


def test_a_further_tensor_of_a_batch_is_blamed_with_its_row(tmp_path: Path) -> None:
    train, valid = streams()
    train.__class__ = Bad
    train.shard = lambda rank, world: train  # type: ignore[method-assign]
    with pytest.raises(TrainingError) as error:
        fit(Speaker(), Carrying(), train, valid, TrainingOptions(**QUICK), tmp_path, quiet=True)
    assert str(error.value) == (
        "epoch 1, step 3: the batch's 'weight' has a NaN or an infinite number (row 1 of the training data); "
        "clean the data; the weights are as before this step"
    )


class Nested(nn.Module):
    """A dictionary of which one part may be infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Speaker(0.0)
        self.scale = nn.Linear(1, 1)
        self.last = nn.Identity()

    def forward(self, x: torch.Tensor) -> dict:
        logits, state = self.encoder(x.long(), None)
        return self.last({"parts": [(logits, state)], "spread": None})


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_a_module_is_blamed_whatever_its_output_is_made_of(dtype: torch.dtype) -> None:
    class Through(Carrying):
        def output(self, model, batch):
            return model(batch.x)

    (batch, *_) = list(streams()[0])
    batch = Window(**{**vars(batch), "x": batch.x.to(dtype)})
    model = Nested()
    assert "the model's output is finite, the loss is not" in blame(model, Through(), batch, math.nan)
    nn.init.constant_(model.encoder.head.bias, math.inf)
    assert "it began in the output of 'encoder.head'" in blame(model, Through(), batch, math.nan)
    nn.init.constant_(model.encoder.head.bias, 0.0)
    model.last.register_forward_hook(lambda module, args, out: {"parts": [(out["parts"][0][1] / 0.0,)], "spread": None})
    assert "it began in the output of 'last'" in blame(model, Through(), batch, math.inf)


def test_one_process_gathers_its_own_value() -> None:
    value = {"state": [torch.ones(2), (1, None)]}
    assert gather(value, torch.device("cpu"))[0] is value
    assert len(gather(value, torch.device("cpu"))) == 1


def test_the_state_of_a_checkpoint_can_be_read_by_anyone(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, Carrying(), stop_at=14)
    state = json.loads((tmp_path / "checkpoints" / "last" / "state.json").read_text())["state"]
    assert state["objective"][0]["state"]["$"] == "tensor"
    assert state["data"] == {"epoch": 1, "position": 4, "steps": 5}
