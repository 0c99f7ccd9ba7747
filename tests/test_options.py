from __future__ import annotations

import dataclasses
from typing import get_type_hints

import numpy as np
import pytest

from unroll.errors import OptionError
from unroll.models.options import ModelOptions, RecurrentOptions, TokenOptions
from unroll.options import build, defaults, flatten, help_texts
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.registry import TASKS, entry

MODEL = (ModelOptions, RecurrentOptions, TokenOptions)


@pytest.mark.parametrize("task", TASKS)
def test_every_option_has_one_home_and_a_help_text(task: str) -> None:
    groups = TASKS[task].load_settings().groups()
    names = defaults(groups)
    for cls in groups:
        texts = help_texts(cls)
        for field in dataclasses.fields(cls):
            assert texts[field.name], field.name
    assert len(names) == sum(len(dataclasses.fields(cls)) for cls in groups)


def test_flat_settings_survive_the_round_trip() -> None:
    given = {"hidden_size": 7, "conv_filters": 3, "conv_kernel_sizes": [3, 5], "text": "t"}
    settings = ClassificationSettings.from_flat(given)
    assert settings.model.conv_kernel_sizes == (3, 5)
    assert ClassificationSettings.from_flat(settings.flat()) == settings
    assert settings.changed() == given


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(OptionError, match="no option 'hiden'; did you mean 'hidden_size'"):
        build(MODEL, {"hiden": 3})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"recurrence": "lstmm"}, "recurrence is 'lstmm'; did you mean 'lstm'?"),
        ({"hidden_size": 1.5}, "hidden_size is 1.5; it must be a whole number"),
        ({"hidden_size": 0}, "hidden_size is 0; it must be at least 1"),
        ({"hidden_size": True}, "hidden_size is True; it must be a whole number"),
        ({"num_layers": 10**9}, "num_layers is 1000000000; it must be at least 1 and below 1001"),
        ({"head_dropout": 1.0}, "head_dropout is 1.0; it must be at least 0 and below 1"),
        ({"head_dropout": float("nan")}, "head_dropout is nan; it must be a number"),
        ({"head_dropout": 10**400}, "it must be a number"),
        ({"hidden_size": 10**400}, "it must be at least 1 and below 1048576"),
        ({"residual": "x"}, "residual is 'x'; it must be true or false"),
        ({"pooling": "man"}, "pooling is 'man'; did you mean 'mean'?"),
        ({"conv_kernel_sizes": "3"}, "conv_kernel_sizes is '3'; it must be a list, such as [3, 5]"),
        ({"conv_kernel_sizes": [0]}, "conv_kernel_sizes is [0]; give sizes of at least 1"),
        ({"conv_pool": 2}, "conv_pool needs a convolution front end; set conv_filters"),
        ({"dropout": 0.1}, "dropout acts between layers"),
        ({"forget_bias": 1.0, "recurrence": "rnn"}, "forget_bias goes with recurrence 'lstm' or 'gru', not 'rnn'"),
        ({"reset_after": False}, "reset_after goes with recurrence 'gru', not 'lstm'"),
        ({"nonlinearity": "relu"}, "nonlinearity goes with recurrence 'rnn', not 'lstm'"),
        ({"proj_size": 128}, "proj_size is 128; it must be below hidden"),
        ({"last_hidden_size": 9}, "last_hidden_size is for several layers and there is one"),
        ({"chrono_init": 9, "recurrence": "rnn"}, "chrono_init goes with recurrence 'lstm' or 'gru', not 'rnn'"),
    ],
)
def test_a_value_that_cannot_be_used_is_said_in_one_sentence(given: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        build(MODEL, given)
    assert message in str(caught.value)


def test_a_number_alone_is_a_list_of_one() -> None:
    assert ModelOptions(conv_filters=2, conv_kernel_sizes=5).conv_kernel_sizes == (5,)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"conv_kernel_sizes is 2\.5; it must be a whole number"):
        ModelOptions(conv_filters=2, conv_kernel_sizes=2.5)  # pyright: ignore[reportArgumentType]


def test_numbers_of_numpy_become_pythons() -> None:
    options = RecurrentOptions(hidden_size=np.int64(3), output_dropout=np.float32(0.5))  # pyright: ignore[reportArgumentType]
    assert type(options.hidden_size) is int
    assert type(options.output_dropout) is float
    assert flatten([options])["hidden_size"] == 3


@pytest.mark.parametrize(
    ("given", "text", "regression", "named"),
    [
        ({"vocab_size": 500}, False, False, "vocab_size"),
        ({"embedding_dim": 5}, False, False, "embedding"),
        ({"init_from": "runs/lm"}, False, False, "init_from"),
        ({"standardize": False}, True, False, "standardize"),
        ({"input_projection": 5}, True, False, "input_projection"),
        ({"label_smoothing": 0.1}, True, True, "label_smoothing"),
    ],
)
def test_options_of_another_kind_of_data_are_refused(
    given: dict[str, object], text: bool, regression: bool, named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        ClassificationSettings.from_flat(given).refuse_unused(text=text, regression=regression)


def test_a_name_means_one_thing_in_all_tasks() -> None:
    # the same thing in other words: which column, which white space, what the head is given
    in_other_words = {"text", "html", "head_dropout", "series_id", "time", "preset", "baseline"}
    in_other_words |= {"target", "attention", "teacher_forcing"}
    meanings: dict[str, set[tuple[str, str]]] = {}
    for task in TASKS:
        settings = entry(task).load_settings()
        for group in settings.groups():
            texts, hints = help_texts(group), get_type_hints(group)
            for field in dataclasses.fields(group):
                if field.name not in settings.excluded:
                    meanings.setdefault(field.name, set()).add((str(hints[field.name]), texts[field.name]))
    assert {name for name, found in meanings.items() if len(found) > 1} == in_other_words
    kinds = {name: len({kind for kind, _ in meanings[name]}) for name in in_other_words}
    assert [name for name, count in kinds.items() if count > 1] == ["target"]  # one column, or several
