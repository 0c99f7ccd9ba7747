"""Linear-chain conditional random field (CRF): exact likelihood, Viterbi decoding, marginals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unroll.layers.pooling import step_mask

# exp of this is 0 in every float type, so a forbidden transition adds nothing to a sum; and it is finite, so that a
# sequence with one has a finite score and gradient, not NaN.
_FORBIDDEN = -1e6


class AllowedTransitions(NamedTuple):
    """The transitions that a tag sequence may make."""

    start: Bool[Tensor, " K"]
    """Tags that may come first."""
    between: Bool[Tensor, "K K"]
    """[i, j]: whether tag j may follow tag i."""
    end: Bool[Tensor, " K"]
    """Tags that may come last."""


class ConditionalRandomField(nn.Module):
    """Model the probability of a whole tag sequence y_1 ... y_n, given scores e_t of the tags at each step.

        score(y) = start[y_1] + sum_t e_t[y_t] + sum_{t > 1} transitions[y_{t-1}, y_t] + end[y_n]
        log p(y) = score(y) - log Z,    log Z = log sum_y' exp score(y')

    With `legal` the sum is over legal sequences only, and the best sequence is legal (if there is a legal one of that
    length); the log-likelihood of an illegal sequence is about -1e6 for each forbidden transition.

    Sums are computed by the forward recursion in log space; 16-bit scores are converted to float32. A row of length
    zero has one sequence, the empty one, with log p = 0. Values beyond a row's length (NaN included) have no effect.

    Shapes: emissions (B, T, K), tags (B, T) int64, lengths (B,); T is at least 1. Time and memory (with gradient) are
    O(T K^2) per row.

    Lafferty, McCallum & Pereira 2001, "Conditional Random Fields"; over a recurrent network: Huang, Xu & Yu 2015,
    Lample et al. 2016. `torch.nn` has none.

    Args:
        tags: number of tags K.
        legal: the allowed transitions; None allows all.
    """

    legal_start: Tensor
    legal_between: Tensor
    legal_end: Tensor

    def __init__(self, tags: int, legal: AllowedTransitions | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(tags))
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))
        self.constrained = legal is not None
        if legal is not None:
            for name, mask in legal._asdict().items():
                self.register_buffer(f"legal_{name}", torch.as_tensor(mask).bool())

    def log_likelihood(
        self, emissions: Float[Tensor, "B T K"], tags: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """Compute log p(tags) of each row."""
        return self.score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def allows(self, tags: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
        """Whether each row's tags are a legal sequence; the empty one is, and without `legal` all are."""
        if not self.constrained:
            return torch.ones(len(tags), dtype=torch.bool, device=tags.device)
        lengths = lengths.to(tags.device)
        inside = step_mask(lengths, tags.size(1))
        tags = tags.masked_fill(~inside, 0)
        last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        between = (self.legal_between[tags[:, :-1], tags[:, 1:]] | ~inside[:, 1:]).all(1)
        return (between & self.legal_start[tags[:, 0]] & self.legal_end[last]) | (lengths == 0)

    def score(
        self, emissions: Float[Tensor, "B T K"], tags: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """Compute the score of each row's tags."""
        e, lengths = self._read(emissions, lengths)
        start, transitions, end = self._scores()
        inside = step_mask(lengths, e.size(1))
        tags = tags.masked_fill(~inside, 0)
        steps = e.gather(2, tags.unsqueeze(2)).squeeze(2)
        steps[:, 1:] = steps[:, 1:] + transitions[tags[:, :-1], tags[:, 1:]]
        last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        ends = start[tags[:, 0]] + end[last]
        return steps.masked_fill(~inside, 0.0).sum(1) + ends.masked_fill(lengths == 0, 0.0)

    def log_partition(self, emissions: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Compute log Z of each row."""
        e, lengths = self._read(emissions, lengths)
        *_, alpha = self._forward(e, lengths)
        return (alpha + self._scores().end).logsumexp(1).masked_fill(lengths == 0, 0.0)

    def marginals(self, emissions: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B T K"]:
        """Compute p(y_t = k) by the forward-backward algorithm; zero beyond the lengths."""
        e, lengths = self._read(emissions, lengths)
        _, transitions, end = self._scores()
        alpha = torch.stack(list(self._forward(e, lengths)), 1)
        beta = [end.expand_as(e[:, 0])]
        for t in range(e.size(1) - 2, -1, -1):
            ahead = (transitions + (e[:, t + 1] + beta[0]).unsqueeze(1)).logsumexp(2)
            beta.insert(0, torch.where((t < lengths - 1).unsqueeze(1), ahead, end))
        joint = alpha + torch.stack(beta, 1)
        return joint.softmax(2).masked_fill(~step_mask(lengths, e.size(1)).unsqueeze(2), 0.0)

    @torch.no_grad()
    def viterbi(
        self, emissions: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]
    ) -> tuple[Int[Tensor, "B T"], Float[Tensor, " B"]]:
        """Decode the best tags of each row (0 beyond its length) and their score. Viterbi 1967; no gradient."""
        e, lengths = self._read(emissions, lengths)
        start, transitions, end = self._scores()
        B, T, K = e.shape
        best = start + e[:, 0]
        stay = torch.arange(K, device=e.device).expand(B, K)
        came: list[Tensor] = []
        for t in range(1, T):
            here = (t < lengths).unsqueeze(1)
            value, before = (best.unsqueeze(2) + transitions).max(1)
            best = torch.where(here, value + e[:, t], best)
            came.append(torch.where(here, before, stay))
        score, tag = (best + end).max(1)
        tags = [tag]
        for before in reversed(came):
            tags.append(before.gather(1, tags[-1].unsqueeze(1)).squeeze(1))
        best_tags = torch.stack(tags[::-1], 1).masked_fill(~step_mask(lengths, T), 0)
        return best_tags, score.masked_fill(lengths == 0, 0.0)

    def _forward(self, e: Float[Tensor, "B T K"], lengths: Int[Tensor, " B"]) -> Iterator[Float[Tensor, "B K"]]:
        """Iterate over the log forward variables alpha_t; they stay constant after a row's end.

        alpha_1 = start + e_1,    alpha_t[j] = e_t[j] + log sum_i exp(alpha_{t-1}[i] + transitions[i, j])
        """
        start, transitions, _ = self._scores()
        alpha = start + e[:, 0]
        yield alpha
        for t in range(1, e.size(1)):
            on = (alpha.unsqueeze(2) + transitions).logsumexp(1) + e[:, t]
            alpha = torch.where((t < lengths).unsqueeze(1), on, alpha)
            yield alpha

    def _read(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = lengths.to(emissions.device)
        e = emissions.float() if emissions.dtype in (torch.float16, torch.bfloat16) else emissions
        return e.masked_fill(~step_mask(lengths, e.size(1)).unsqueeze(2), 0.0), lengths

    def _scores(self) -> _Scores:
        if not self.constrained:
            return _Scores(self.start, self.transitions, self.end)
        return _Scores(
            self.start.masked_fill(~self.legal_start, _FORBIDDEN),
            self.transitions.masked_fill(~self.legal_between, _FORBIDDEN),
            self.end.masked_fill(~self.legal_end, _FORBIDDEN),
        )


class _Scores(NamedTuple):
    start: Tensor
    transitions: Tensor
    end: Tensor
