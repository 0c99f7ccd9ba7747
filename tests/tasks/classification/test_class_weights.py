from __future__ import annotations

import pytest
import torch

from unroll.errors import OptionError
from unroll.tasks.classification.class_weights import balanced_weights, class_weights, named_weights
from unroll.tasks.classification.options import ClassificationOptions, ClassificationSettings


def test_balanced_weights() -> None:
    assert balanced_weights(torch.tensor([0, 0, 0, 1]), 2).tolist() == pytest.approx([4 / 6, 2.0])
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert balanced_weights(targets, 2).tolist() == [3.0, 1.0]


def test_named_classes_have_their_weights_and_others_have_1() -> None:
    assert named_weights({"spam": 5, "eggs": 0.5}, ("eggs", "ham", "spam")).tolist() == [0.5, 1.0, 5.0]
    chosen = ClassificationOptions(class_weights={2: 3, True: 7, 4.0: 2}).class_weights
    assert chosen == {"2": 3.0, "true": 7.0, "4.0": 2.0}
    assert class_weights(chosen, ("1", "2", "4", "true"), None).tolist() == [1.0, 3.0, 2.0, 7.0]


def test_weights_of_classes_by_the_option() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    assert class_weights("none", ("a", "b"), targets) is None
    assert class_weights("balanced", ("a", "b"), None) is None
    assert class_weights("balanced", ("a", "b"), targets).tolist() == pytest.approx([4 / 6, 2.0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"spm": 5}, "class_weights has the class 'spm', which the training data does not have; did you mean 'spam'?"),
        ({"1": 5, "1.0": 2}, "class_weights has the class '1' twice"),
    ],
)
def test_classes_that_cannot_be_weighed(given: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError) as error:
        named_weights(given, ("1", "ham", "spam"))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"spam": 0}, "class_weights has 0.0 for 'spam'; it must be above 0"),
        ({"spam": "much"}, "class_weights of 'spam' is 'much'; it must be a number"),
        ({"spam": float("inf")}, "class_weights of 'spam' is inf; it must be a number"),
        ({None: 1}, "class_weights has the name None; a name is text, a number, true or false"),
        ("balance", "class_weights is 'balance'; did you mean 'balanced'?"),
        (None, "class_weights is None; did you mean 'none'?"),
    ],
)
def test_weights_that_are_refused(given: object, message: str) -> None:
    with pytest.raises(OptionError) as error:
        ClassificationSettings.from_flat({"class_weights": given})
    assert str(error.value) == message


def test_weights_survive_the_round_trip_to_a_run() -> None:
    settings = ClassificationSettings.from_flat({"class_weights": {1: 2}})
    assert settings.changed() == {"class_weights": {"1": 2.0}}
    assert ClassificationSettings.from_flat(settings.flat()) == settings
