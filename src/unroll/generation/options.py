"""Options of text generation; imports no heavy library, so that `--help` is fast."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.errors import OptionError
from unroll.options import check_range, check_types

_MANY = 2**31


@dataclass(frozen=True)
class GenerationOptions:
    """How text is continued."""

    length: int = 200
    """Tokens to write, at most."""
    temperature: float | None = None
    """Below 1 likely tokens become likelier, above 1 less so; 0 takes the likeliest each time (default 1)."""
    top_k: int | None = None
    """Draw from so many of the likeliest tokens (default: from all)."""
    top_p: float | None = None
    """Draw from the fewest likeliest tokens that have this probability together (default: from all)."""
    seed: int | None = None
    """The same seed gives the same text (default 0); the text number i of --count has this seed + i."""
    beam: int = 0
    """Search for the likeliest text with so many candidates at a time rather than draw one (0: draw)."""
    length_penalty: float | None = None
    """Beam search: divide a text's log-probability by ((5 + tokens) / 6) to this power (default 0: do not)."""
    count: int = 1
    """Texts to write: drawn ones, or the best of a beam search."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "length", "count", least=1, below=_MANY)
        check_range(self, "top_k", least=1, below=_MANY)
        check_range(self, "temperature", "beam", "seed", "length_penalty", least=0, below=_MANY)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.beam:
            self._needs_none("a beam search draws nothing", "temperature", "top_k", "top_p", "seed")
            if self.count > self.beam:
                raise OptionError(f"count is {self.count}, but a beam of {self.beam} finds no more than {self.beam}")
            return
        self._needs_none("it goes with a beam search", "length_penalty")
        if self.temperature == 0:
            self._needs_none("at temperature 0 the likeliest token is taken", "top_k", "top_p", "seed")
            if self.count > 1:
                raise OptionError(f"count is {self.count}, but at temperature 0 all texts are the same")

    def _needs_none(self, why: str, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise OptionError(f"{name} is set, but {why}")


@dataclass(frozen=True)
class SearchOptions:
    """How the text is found that a decoder writes for a source."""

    beam: int = 5
    """Candidates at a time; 1 takes the likeliest token at each step."""
    length_penalty: float = 1.0
    """Divide a text's log-probability by ((5 + tokens) / 6) to this power, so that longer ones can compete (0: do not).
    """
    coverage_penalty: float = 0.0
    """Lower the score of texts that leave parts of the source without attention, by this factor (0: do not)."""
    min_new_tokens: int = 0
    """Tokens before a text may end, at least."""
    max_new_tokens: int = 200
    """Tokens of a text, at most."""
    n_best: int = 1
    """Texts to find, each with another surface, at most as many as the beam."""
    no_repeat_ngram: int = 0
    """Length of runs of tokens that must not come twice in a text (0: any may)."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "beam", "max_new_tokens", "n_best", least=1, below=_MANY)
        check_range(self, "min_new_tokens", "no_repeat_ngram", least=0, below=_MANY)
        check_range(self, "length_penalty", "coverage_penalty", least=0, below=_MANY)
        if self.n_best > self.beam:
            raise OptionError(f"n_best is {self.n_best}, but a beam of {self.beam} finds no more than {self.beam}")
        if self.min_new_tokens > self.max_new_tokens:
            raise OptionError(
                f"min_new_tokens is {self.min_new_tokens}, which is above max_new_tokens ({self.max_new_tokens})"
            )
