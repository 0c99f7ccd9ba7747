"""Compute perplexity and bits per character over a text, read once as one stream with the state carried."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unroll.data.text.bptt import BPTTBatch, BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.data.text.masked import MaskedWindows
from unroll.errors import OptionError
from unroll.models.language_model import LanguageModel
from unroll.tasks.base import Report
from unroll.tasks.batch_loop import require_finite

if TYPE_CHECKING:
    from unroll.tasks.language_modeling.loss import NextToken

_STEPS_AT_ONCE = 256


@dataclass(frozen=True)
class Dynamic:
    """Options of dynamic evaluation: the model keeps learning from the evaluated text, window by window.

    Each window is scored first; then, with the gradient of its mean nll and the trained weights theta_0,

        theta <- theta - rate * gradient;   theta <- theta + decay * (theta_0 - theta)

    A token is therefore always predicted by a model that has not seen it. Papers: Mikolov et al. 2010, "Recurrent
    neural network based language model"; the decay: Krause et al. 2018, "Dynamic evaluation of neural sequence
    models" (their plain SGD, without the scaling by the training gradients' squares).

    Raises:
        OptionError: a value that cannot be used.
    """

    rate: float
    decay: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise OptionError(f"dynamic_rate is {self.rate!r}; it must be a number above 0")
        if not 0 <= self.decay < 1:
            raise OptionError(f"dynamic_decay is {self.decay!r}; it must be a number from 0 to below 1")


def next_tokens(
    model: LanguageModel, corpus: Corpus, frequencies: np.ndarray, *, window: int, dynamic: Dynamic | None = None
) -> Report:
    """Evaluate next-token prediction over the whole text; the model is not changed.

    Args:
        model: a language model; temporarily set to evaluation mode.
        corpus: the text.
        frequencies: (V,) how often each token occurs in the training part.
        window: tokens of a step of dynamic evaluation; otherwise unused.
        dynamic: options of dynamic evaluation, if wanted.

    Returns:
        tokens, rows, unknown (tokens not in the vocabulary); nats_per_token, bits_per_token, perplexity;
        bits_per_character and bits_per_byte of the text before cleaning; baseline_perplexity of a unigram model of
        the training part.
    """
    was_training = model.training
    if dynamic is None:
        with torch.inference_mode():
            nats = sum(
                float(_sum(model.eval(), scorer, batch)) for scorer, batch in _one_stream(corpus, _STEPS_AT_ONCE)
            )
    else:
        nats = _dynamic(model, corpus, window, dynamic)
    model.train(was_training)
    counts = corpus.counts
    report: Report = {"tokens": counts.tokens, "rows": counts.rows, "unknown": counts.unknown}
    report |= _figures(nats / counts.tokens)
    for unit, number in (("character", counts.characters), ("byte", counts.bytes)):
        if number:
            report[f"bits_per_{unit}"] = nats / math.log(2) / number
    if dynamic is not None:
        report |= {"dynamic_rate": dynamic.rate, "dynamic_decay": dynamic.decay}
    return report | _baseline(corpus.frequencies(len(frequencies)), frequencies)


def masked_tokens(model: LanguageModel, windows: MaskedWindows, frequencies: np.ndarray) -> Report:
    """Evaluate masked prediction over all windows: as `next_tokens`, but only masked tokens; adds `accuracy`."""
    was_training = model.training
    model.eval()
    nats, right, total = 0.0, 0, 0
    seen = np.zeros(len(frequencies), dtype=np.int64)
    device = model.inputs.embedding.weight.device
    with torch.inference_mode():
        for given in windows:
            batch = given.to(device)
            features, _, _ = model(batch.x, None if batch.whole else batch.lengths, None, batch.resets)
            assert batch.chosen is not None  # noqa: S101 (MaskedWindows gives both)
            assert batch.target is not None  # noqa: S101
            log_probs = model.log_prob(features[batch.chosen])
            target = batch.target[batch.chosen]
            nats -= float(log_probs.gather(1, target.unsqueeze(1)).double().sum())
            right += int((log_probs.argmax(1) == target).sum())
            total += len(target)
            seen += np.bincount(target.cpu().numpy(), minlength=len(seen))
    model.train(was_training)
    report: Report = {"tokens": total, "rows": windows.corpus.counts.rows, "unknown": int(seen[1])}
    report |= _figures(nats / total)
    report["accuracy"] = right / total
    return report | _baseline(seen, frequencies)


def format_report(report: Report) -> list[str]:
    """Format the report: one line per metric."""
    beside = f"{report['baseline_perplexity']:.2f} for {report['baseline']}"
    shown = [
        f"perplexity          {report['perplexity']:.2f}   ({beside})",
        f"nats per token      {report['nats_per_token']:.4f}",
    ]
    said: list[str] = []
    for unit in ("token", "character", "byte"):
        value = f"{report.get(f'bits_per_{unit}', math.nan):.4f}"
        if value not in ("nan", *said):
            said.append(value)
            shown.append(f"{f'bits per {unit}':<20}{value}")
    if "accuracy" in report:
        shown.append(f"accuracy            {report['accuracy']:.4f}")
    if "dynamic_rate" in report:
        shown.append(f"dynamic evaluation  rate {report['dynamic_rate']:g}, decay {report['dynamic_decay']:g}")
    share = report["unknown"] / report["tokens"]
    if report["unknown"]:
        shown.append(f"unknown tokens      {report['unknown']:,} ({share:.2%}), each counted as the unknown token")
    return shown


def _one_stream(corpus: Corpus, window: int) -> Iterator[tuple[NextToken, BPTTBatch]]:
    from unroll.tasks.language_modeling.loss import NextToken  # imports torchmetrics

    scorer = NextToken()
    for batch in BPTTBatches(corpus, 1, window):
        yield scorer, batch


def _sum(model: LanguageModel, scorer: NextToken, batch: BPTTBatch) -> Tensor:
    scored = scorer.output(model, batch.to(model.inputs.embedding.weight.device))
    return (scored.nll.double() * scored.counted).sum()


def _dynamic(model: LanguageModel, corpus: Corpus, window: int, dynamic: Dynamic) -> float:
    moving = copy.deepcopy(model).eval()
    weights = [(p, q.detach()) for p, q in zip(moving.parameters(), model.parameters(), strict=True)]
    for p, _ in weights:
        p.requires_grad_()
    nats = 0.0
    with torch.inference_mode(False), torch.enable_grad():
        for scorer, batch in _one_stream(corpus, window):
            total = _sum(moving, scorer, batch)
            nats += float(total.detach())
            if not math.isfinite(nats):
                raise OptionError(
                    f"dynamic_rate is {dynamic.rate:g}, with which the model diverges; give a smaller one"
                )
            gradients = torch.autograd.grad(total / batch.total, [p for p, _ in weights], allow_unused=True)
            with torch.no_grad():
                for (p, trained), gradient in zip(weights, gradients, strict=True):
                    if gradient is not None:
                        p.sub_(gradient, alpha=dynamic.rate)
                    p.lerp_(trained, dynamic.decay)
    return nats


def _figures(nats: float) -> Report:
    require_finite(nats)
    return {
        "nats_per_token": nats,
        "bits_per_token": nats / math.log(2),
        "perplexity": math.exp(nats) if nats < 700 else math.inf,
    }


def _baseline(seen: np.ndarray, frequencies: np.ndarray) -> Report:
    """Compute the perplexity of p(k) = (count_k + 1) / (sum + V - 1), without padding, on tokens with counts `seen`."""
    shares = (frequencies + 1.0) / (frequencies[1:].sum() + len(frequencies) - 1.0)
    nats = -float((seen[1:] * np.log(shares[1:])).sum()) / float(seen.sum())
    return {"baseline_perplexity": math.exp(nats), "baseline": "each token's share in the training part"}
