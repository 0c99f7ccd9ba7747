from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from unroll.errors import OptionError
from unroll.options import help_texts
from unroll.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"optimizer": "adm"}, "optimizer is 'adm'; did you mean 'adam'?"),
        ({"schedule": "cosin"}, "schedule is 'cosin'; did you mean 'cosine'?"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"epochs": 2.5}, "epochs is 2.5; it must be a whole number"),
        ({"max_steps": -1}, "max_steps is -1; it must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be a number"),
        ({"max_grad_norm": -1.0}, "max_grad_norm is -1.0; it must be at least 0"),
        ({"momentum": 0.9}, "momentum is set, but optimizer 'adam' does not use it, only 'sgd' or 'rmsprop'"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum is 1.0; it must be at least 0 and below 1"),
        (
            {"warmup_share": 0.1},
            "warmup_share is set, but schedule 'constant' does not use it, only 'warmup' or 'cosine' or 'onecycle'",
        ),
        (
            {"schedule": "onecycle", "warmup_share": 0.0},
            "warmup_share is 0, but schedule 'onecycle' begins with a rise",
        ),
        ({"schedule_gamma": 0.5}, "schedule_gamma is set, but schedule 'constant' does not use it, only 'step' or"),
        ({"schedule_every": 2}, "schedule_every is set, but schedule 'constant' does not use it"),
        ({"ema_decay": 0.9}, "ema_decay is set, but average 'none' does not use it, only 'ema'"),
        ({"average": "ema", "average_patience": 3}, "average_patience is set, but average 'ema' does not use it, only"),
        ({"average": "asgd", "average_patience": -1}, "average_patience is -1; it must be at least 0"),
        ({"average": "asgd", "ema_decay": 0.9}, "ema_decay is set, but average 'asgd' does not use it, only 'ema'"),
        ({"layer_decay": 2.6}, "layer_decay is 2.6; it must be above 0 and at most 1"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0; it must be above 0"),
        ({"unfreeze_every": -1}, "unfreeze_every is -1; it must be at least 0"),
        ({"min_delta": 0.01}, "min_delta is 0.01, but only patience uses it, and patience is off"),
        ({"tensorboard": "yes"}, "tensorboard is 'yes'; it must be true or false"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(values: dict, sentence: str) -> None:
    with pytest.raises(OptionError) as error:
        TrainingOptions(**values)
    assert str(error.value).startswith(sentence)


def test_every_option_has_its_help() -> None:
    texts = help_texts(TrainingOptions)
    assert [f.name for f in dataclasses.fields(TrainingOptions) if not texts.get(f.name)] == []


def test_reading_the_options_does_not_import_torch() -> None:
    code = "import unroll.training.options, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
