"""Softmax over many classes: the full softmax, and the adaptive softmax, which computes less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax
from torch.utils.checkpoint import checkpoint

from unroll.errors import OptionError
from unroll.ops.cross_entropy import linear_cross_entropy

_BLOCK = 2**26
"""Maximal number of scores kept for the gradient (256 MiB in float32); more are recomputed in blocks."""
_Linear = tuple[Tensor, Tensor | None]
"""A matrix and its optional bias."""


class _Classes(nn.Module):
    """Base class with the weights of the scores h W^T + b of V classes."""

    def __init__(self, classes: int, features: int, bias: bool, tied: bool) -> None:
        super().__init__()
        for name, size in (("classes", classes), ("features", features)):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise OptionError(f"{name} must be a whole number of at least 1, got {size!r}")
        self.classes = classes
        self.features = features
        self.weight = None if tied else nn.Parameter(torch.empty(classes, features))
        self.bias = nn.Parameter(torch.empty(classes)) if bias else None

    def reset_parameters(self) -> None:
        """Initialize matrices from U(-1/sqrt(E), 1/sqrt(E)), and biases with zero."""
        bound = 1.0 / math.sqrt(self.features)
        for parameter in self.parameters(recurse=False):
            if parameter.dim() == 2:
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.zeros_(parameter)

    def _matrix(self, weight: Tensor | None) -> Tensor:
        weight = self.weight if weight is None else weight
        if weight is None:
            raise OptionError("a tied softmax has no matrix of its own: pass weight")
        if weight.shape != (self.classes, self.features):
            raise OptionError(
                f"weight must have the shape ({self.classes}, {self.features}), got {tuple(weight.shape)}"
            )
        return weight

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.classes}, {self.features}" + (", tied=True" if self.weight is None else "")


class FullSoftmax(_Classes):
    """Full softmax: p(k | h) = softmax(W h + b)_k.

    Args:
        classes: number of classes V.
        features: width E of h.
        bias: whether each class has a bias.
        tied: have no matrix; it is passed at each call, e.g. an embedding's (Press & Wolf 2017, Inan et al. 2017).

    Raises:
        OptionError: a size is not a whole number of at least 1.
    """

    def __init__(self, classes: int, features: int, bias: bool = True, *, tied: bool = False) -> None:
        super().__init__(classes, features, bias, tied)
        self.reset_parameters()

    def nll(self, h: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute -log p(target | h), (N,), for h (N, E) and target (N,) in 0 to V - 1; `weight` (V, E) replaces W.

        Many rows are processed in blocks whose scores are recomputed for the gradient: memory stays bounded.

        Raises:
            OptionError: a weight of the wrong shape, or none with `tied`.
        """
        return _nll(h, target, self._matrix(weight), self.bias)[0]

    def losses(
        self, h: Tensor, target: Tensor, weight: Tensor | None = None, smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Compute -log p(target | h) as `nll`, and the same with label smoothing.

        The second is (1 - smoothing) nll + smoothing mean over k of -log p(k | h): Szegedy et al. 2016, "Rethinking the
        inception architecture for computer vision".
        """
        return _nll(h, target, self._matrix(weight), self.bias, smoothing)

    def log_prob(self, h: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute log p(k | h) for every class, (N, V)."""
        return log_softmax(linear(h, self._matrix(weight), self.bias), -1)


class AdaptiveSoftmax(_Classes):
    """Adaptive softmax in two levels: the frequent classes individually, the others in clusters.

        p(k | h) = softmax(head)_k                                          k below the first cutoff
        p(k | h) = softmax(head)_(cluster of k) * softmax(W_cluster h + b_cluster)_k      otherwise

    The head has the scores of the classes below the first cutoff and of every cluster. It is normalised exactly,
    without sampling. Sort the classes by decreasing frequency, or the clusters save nothing: `nll` computes a
    cluster only for the rows with a target in it. Classes 0 and 1 (padding, unknown) are like any other.

    Papers: Grave et al. 2017, "Efficient softmax approximation for GPUs"; unlike there, and as in Merity, Keskar &
    Socher 2018, "An analysis of neural language modeling at multiple scales", the rare classes' vectors are as wide as
    the others, so that W can be an embedding's matrix.

    Args:
        classes: number of classes V.
        features: width E of h.
        cutoffs: where the clusters begin: (a, b) makes a head of classes 0 to a - 1 and the clusters a to b - 1 and
            b to V - 1.
        bias: whether each class and each cluster has a bias.
        tied: have no matrix of the classes; it is passed at each call, e.g. an embedding's.

    Raises:
        OptionError: the cutoffs are not increasing, or outside the classes.
    """

    def __init__(
        self, classes: int, features: int, cutoffs: Sequence[int], bias: bool = True, *, tied: bool = False
    ) -> None:
        super().__init__(classes, features, bias, tied)
        bounds = list(cutoffs)
        if not bounds or any(isinstance(c, bool) or not isinstance(c, int) for c in bounds):
            raise OptionError(f"cutoffs is {bounds!r}; give whole numbers, at least one")
        if any(a >= b for a, b in zip([0, *bounds], bounds, strict=False)):
            raise OptionError(f"cutoffs is {bounds}; each must be above the one before, the first above 0")
        if bounds[-1] >= classes:
            raise OptionError(f"cutoffs is {bounds}; with {classes} classes the last must be at most {classes - 1}")
        self.cutoffs = tuple(bounds)
        self.cluster_weight = nn.Parameter(torch.empty(len(bounds), features))
        self.cluster_bias = nn.Parameter(torch.empty(len(bounds))) if bias else None
        self._sizes = [b - a for a, b in zip([0, *bounds], [*bounds, classes], strict=True)]
        self.reset_parameters()

    def nll(self, h: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute -log p(target | h), (N,), as `FullSoftmax.nll`; a cluster only for the rows that need it."""
        head, tails = self._parts(weight)
        first = self.cutoffs[0]
        cluster = torch.bucketize(target, torch.tensor(self.cutoffs, device=target.device), right=True)
        total = _nll(h, torch.where(cluster == 0, target, first - 1 + cluster), *head)[0]
        for k, (begin, tail) in enumerate(zip(self.cutoffs, tails, strict=True), 1):
            rows = (cluster == k).nonzero().squeeze(1)
            if len(rows):
                total = total.index_add(0, rows, _nll(h[rows], target[rows] - begin, *tail)[0].to(total.dtype))
        return total

    def log_prob(self, h: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute log p(k | h) for every class, (N, V)."""
        head, tails = self._parts(weight)
        of_head = log_softmax(linear(h, *head), -1)
        first = self.cutoffs[0]
        parts = [of_head[..., :first]]
        for k, tail in enumerate(tails):
            parts.append(of_head[..., first + k, None] + log_softmax(linear(h, *tail), -1))
        return torch.cat(parts, -1)

    def _parts(self, weight: Tensor | None) -> tuple[_Linear, list[_Linear]]:
        """Split the weights into the matrices and biases of the head and of the clusters."""
        first, *rest = self._matrix(weight).split(self._sizes)  # one split: its gradient is one matrix, not one each
        head = torch.cat([first, self.cluster_weight])
        if self.bias is None or self.cluster_bias is None:
            return (head, None), [(tail, None) for tail in rest]
        b_first, *b_rest = self.bias.split(self._sizes)
        return (head, torch.cat([b_first, self.cluster_bias])), list(zip(rest, b_rest, strict=True))

    def extra_repr(self) -> str:
        """Show the sizes and the cutoffs."""
        return f"{super().extra_repr()}, cutoffs={self.cutoffs}"


def _nll(
    h: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    rows = max(1, _BLOCK // len(weight))
    if len(h) <= rows:
        return linear_cross_entropy(h, target, weight, bias, smoothing)
    run = partial(checkpoint, linear_cross_entropy, use_reentrant=False, preserve_rng_state=False)
    if not torch.is_grad_enabled():
        run = linear_cross_entropy
    parts = [run(h[i : i + rows], target[i : i + rows], weight, bias, smoothing) for i in range(0, len(h), rows)]
    nll, smoothed = (torch.cat(each) for each in zip(*parts, strict=True))
    return nll, smoothed
