"""Loss and metrics of language modelling: next token with carried state (BPTT), or masked tokens."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from unroll.data.text.bptt import BPTTBatch
from unroll.errors import RunError
from unroll.models.language_model import LanguageModel
from unroll.tasks.likelihood import Bits, Perplexity

Monitor = tuple[str, Literal["min", "max"]]


class Scored(NamedTuple):
    """Hold a window's negative log-likelihoods.

    Attributes:
        nll: (B, T), in nats.
        counted: (B, T), which of them count.
        penalty: activation regularization (AR, TAR), added to their sum; None in evaluation.
    """

    nll: Float[Tensor, "B T"]
    counted: Bool[Tensor, "B T"]
    penalty: Tensor | None


class NextToken:
    """Negative log-likelihood of every token given all tokens before it in its stream.

        loss = (sum_bt nll_bt + n (alpha AR + beta TAR)) / nominal
        AR = mean over b, t, e of d(y)_bte^2;  TAR = mean over b, t > 1, e of (y_bte - y_b(t-1)e)^2

    where n is the number of tokens in the window. `nominal` is the mean number of tokens of a window, the same for all,
    so that a longer window has a larger loss: with SGD without gradient clipping this scales the learning rate by the
    window's length. AR and TAR, of the softmax's input after and before dropout, apply only in training.

    The state is carried from window to window, detached, and separately for training and validation.
    Truncated backpropagation: Williams & Peng 1990, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories". AR, TAR and the scaled rate: Merity, Keskar & Socher 2018, "Regularizing and
    optimizing LSTM language models".

    Args:
        penalty: alpha.
        slowness: beta.
    """

    monitor: Monitor = ("perplexity", "min")

    def __init__(self, penalty: float = 0.0, slowness: float = 0.0) -> None:
        self.penalty = penalty
        self.slowness = slowness
        self._carried: dict[bool, Any] = {}

    def output(self, model: LanguageModel, batch: BPTTBatch) -> Scored:
        """Compute every token's negative log-likelihood, carrying the state from the last window to the next."""
        features, raw, state = model(
            batch.x, None if batch.whole else batch.lengths, self._state(model, batch), batch.resets
        )
        self._carried[model.training] = _detached(state)
        return Scored(
            model.nll(features, _target(batch)), batch.counted(), self._activation(model, features, raw, batch)
        )

    def _state(self, model: LanguageModel, batch: BPTTBatch) -> Any:
        if batch.first:
            return None
        if self._carried.get(model.training) is None:
            raise RunError("the state that the windows before left is missing; the checkpoint is damaged")
        return _moved(self._carried[model.training], batch.x.device)

    def _activation(self, model: LanguageModel, features: Tensor, raw: Tensor, batch: BPTTBatch) -> Tensor | None:
        if not model.training or not (self.penalty or self.slowness):
            return None
        there = batch.counted()
        added = features.new_zeros(())
        if self.penalty:
            added = added + self.penalty * (features.square().mean(2) * there).sum()
        if self.slowness and batch.longest > 1:
            pairs = there[:, 1:] if batch.resets is None else there[:, 1:] & ~batch.resets[:, 1:]
            changes = (raw[:, 1:] - raw[:, :-1]).square().mean(2)
            # T - 1 of T steps have a predecessor
            added = added + self.slowness * batch.longest / (batch.longest - 1) * (changes * pairs).sum()
        return added

    def loss(self, output: Scored, batch: BPTTBatch) -> Tensor:
        """Compute this process's part of the window's loss."""
        total = (output.nll * output.counted).sum()
        if output.penalty is not None:
            total = total + output.penalty
        return total / batch.nominal

    def weight(self, batch: BPTTBatch) -> float:
        """Return the normaliser of the loss."""
        return batch.nominal

    def watched(self, output: Scored, batch: BPTTBatch) -> None:
        """Return None: outputs over a vocabulary are not checked for dead ones."""

    def metrics(self) -> MetricCollection:
        """Perplexity, and bits per token."""
        parts: dict[str, Metric] = {"perplexity": Perplexity(), "bits": Bits()}
        return MetricCollection(parts)  # pyright: ignore[reportArgumentType] (dict is invariant)

    def update(self, metrics: MetricCollection, output: Scored, batch: BPTTBatch) -> None:
        """Count a window's tokens."""
        metrics.update(output.nll, output.counted)

    def state_dict(self) -> dict[str, Any]:
        """Return the carried state, from which the next training window starts."""
        return {"state": self._carried.get(True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from `state_dict()`."""
        self._carried = {True: state["state"]}


class MaskedTokens(NextToken):
    """Negative log-likelihood of masked tokens, given the other tokens in their window.

    loss = sum of nll_bt over masked tokens / their number, AR and TAR as in `NextToken`; windows start from zero state.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return nothing, since no state is carried."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing, since no state is carried."""

    def output(self, model: LanguageModel, batch: BPTTBatch) -> Scored:
        """Compute every token's negative log-likelihood."""
        features, raw, _ = model(batch.x, None if batch.whole else batch.lengths, None, batch.resets)
        return Scored(
            model.nll(features, _target(batch)), batch.counted(), self._activation(model, features, raw, batch)
        )


def _target(batch: BPTTBatch) -> Tensor:
    if batch.target is None:
        raise TypeError("the batch has no targets")
    return batch.target


def _detached(state: Any) -> Any:
    return state.detach() if isinstance(state, Tensor) else tuple(map(_detached, state))


def _moved(state: Any, device: torch.device) -> Any:
    return state.to(device) if isinstance(state, Tensor) else tuple(_moved(part, device) for part in state)
