"""Serve a trained language model: generate text and score lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from unroll.data.files.dataset import stream
from unroll.data.tables import column_of, is_table, refuse_other_table
from unroll.data.text.documents import TextSource, said
from unroll.errors import DataError, OptionError
from unroll.generation.scoring import Scorer, lines_of, texts_of
from unroll.generation.search import beam, sample
from unroll.generation.stopping import Decoder, StopStrings, texts
from unroll.models.language_model import LanguageModel
from unroll.serving.predictor import Predictor
from unroll.tasks.base import Report
from unroll.tasks.language_modeling.report import Dynamic
from unroll.tasks.language_modeling.task import LanguageTask

if TYPE_CHECKING:
    from unroll.serving.predictor import Data

_STEPS_AT_ONCE = 512
_UNKNOWN_NAMED = 5


class Continuation(NamedTuple):
    """Result of a beam search."""

    text: str
    """The prompt, if `echo` is set, and the generated text."""
    log_probability: float
    """Log-probability of the generated tokens, in nats."""
    score: float
    """The log-probability, divided by the length penalty."""


class ModelStepper:
    """Adapt a language model to the interface of generation; see `generation.Stepper`."""

    def __init__(self, model: LanguageModel) -> None:
        self.vocabulary = model.head.classes
        self._model = model

    def start(self, rows: int) -> Any:
        """Return the initial state of `rows` texts."""
        with torch.inference_mode():
            return self._model.start(rows)

    def read(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read ids (B, T), a few hundred steps at a time."""
        with torch.inference_mode():
            features = None
            for part in ids.to(_device(self._model)).split(_STEPS_AT_ONCE, dim=1):
                features, _, state = self._model(part, None, state)
            assert features is not None  # noqa: S101 (T is at least 1)
            return self._model.log_prob(features[:, -1]), state

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one more token."""
        with torch.inference_mode():
            return self._model.step(ids.to(_device(self._model)), state)

    def select(self, state: Any, rows: Tensor) -> Any:
        """Select the state of some rows."""
        with torch.inference_mode():
            return self._model.select(state, rows)


class LanguagePredictor(Predictor):
    """Generate and score text with a trained language model.

    As in training, the input before the first token of a text is a line end, or padding where the vocabulary has no
    line ends.
    """

    task: LanguageTask
    model: LanguageModel

    def evaluate(
        self,
        data: Data,
        *,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
        dynamic_rate: float | None = None,
        dynamic_decay: float | None = None,
    ) -> Report:
        """Compute perplexity and related metrics over the whole text, in files or a table.

        Args:
            data: files, a hub name, a DataFrame or a `datasets.Dataset`.
            skip_bad_rows: skip unusable rows.
            encoding: of text files, if not that of the training data.
            say: called with notes on skipped rows.
            dynamic_rate: learning rate of dynamic evaluation: learn from each window of the text after scoring it.
            dynamic_decay: after each such step, move this share of the way back to the trained weights.

        Raises:
            DataError: the text cannot be used.
            OptionError: dynamic evaluation of masked prediction, or a rate at which the model diverges.
        """
        if dynamic_decay is not None and dynamic_rate is None:
            raise OptionError("dynamic_decay goes with dynamic_rate")
        dynamic = None if dynamic_rate is None else Dynamic(dynamic_rate, dynamic_decay or 0.0)
        return self.task.evaluate(self.model, self.part(data, skip_bad_rows, encoding, say), dynamic)

    @property
    def _before(self) -> int:
        newline = self.task.encoder.newline
        return self.task.encoder.PAD if newline is None else newline

    @property
    def _scorer(self) -> Scorer:
        return Scorer(self.model, self.task.encoder, self._before)

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
        echo: bool = False,
    ) -> Iterator[str]:
        """Generate text after `prompt`, in pieces; see `generation.sample`.

        Args:
            prompt: may be empty.
            length: maximum number of tokens.
            temperature: sampling temperature; 0: greedy, the most likely token.
            top_k: sample from this many most likely tokens; 0: from all.
            top_p: sample from the fewest tokens with this total probability (nucleus sampling); 1: from all.
            seed: the same seed gives the same text.
            stop: strings at which the text ends; they are not returned.
            echo: return the prompt first, as decoded from its tokens.

        Raises:
            DataError: the prompt has tokens that are not in the vocabulary.
            OptionError: a value outside its range, or the run predicts masked tokens.
        """
        read, ids = self._read(prompt)
        drawn = sample(
            ModelStepper(self.model),
            read,
            length=length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
        )
        decoder = self.task.encoder.decoder()
        shown = "".join(decoder.push(i) for i in ids)
        return chain([shown] if echo and shown else [], texts(drawn, decoder, stop))

    def search(
        self,
        prompt: str = "",
        *,
        length: int = 200,
        width: int = 5,
        length_penalty: float = 0.0,
        stop: Sequence[str] = (),
        echo: bool = False,
    ) -> list[Continuation]:
        """Find the most likely texts after `prompt` by beam search, best first; see `generation.beam`.

        Raises:
            DataError: the prompt has tokens that are not in the vocabulary.
            OptionError: a value outside its range, or the run predicts masked tokens.
        """
        read, ids = self._read(prompt)

        def decoder() -> Decoder:
            made = self.task.encoder.decoder()
            for i in ids[-1:]:  # decoding the next token depends only on the last one
                made.push(i)
            return made

        def ends(found: Sequence[int]) -> bool:
            stops, pieces = StopStrings(stop), decoder()
            for i in found:
                stops.push(pieces.push(i))
            return stops.stopped

        shown = self.task.encoder.decoder().decode(ids) if echo else ""
        best = beam(
            ModelStepper(self.model),
            read,
            length=length,
            width=width,
            length_penalty=length_penalty,
            ends=ends if stop else None,
        )
        return [Continuation(shown + "".join(texts(f.ids, decoder(), stop)), f.log_probability, f.score) for f in best]

    def score_files(
        self,
        data: Sequence[str],
        *,
        carry: bool = False,
        skip_bad_rows: bool = False,
        encoding: str | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Score each line or record of files; "-" is standard input, scored as it arrives. See `score`.

        `say` is called with notes on skipped lines of files.

        Raises:
            DataError: the data cannot be read; a record has no text, and `skip_bad_rows` is off.
        """
        self._check_next()
        source = self.source(skip_bad_rows, encoding)
        column = self.task.settings.language.text
        if list(data) == ["-"]:
            rows = stream("-", source=source, skip=skip_bad_rows, lines=column)
            return self._scorer.score(texts_of(rows, column, skip_bad_rows), carry=carry, live=True)
        passage = TextSource(tuple(data), source, column)
        if skip_bad_rows and (reasons := passage.left_out()):
            say(said(reasons, passage.where))
        return self._scorer.score(lines_of(passage), carry=carry, live=False)

    def score(self, lines: Iterable[Any], *, carry: bool = False) -> Iterator[dict[str, Any]]:
        """Score each line: compute the log-probabilities of its tokens, a few lines at a time.

        A line's last token is its end, where the vocabulary has line ends. Logarithms are natural.

        Args:
            lines: texts, without the end of the line; or a DataFrame or a `datasets.Dataset` with the text column.
            carry: carry the state over from line to line, as in one text; else each line starts anew.

        Yields:
            `text`; `tokens`, readable; `log_probabilities` of each given those before it; `total`, their sum;
            `per_token`, their mean; `perplexity`, exp(-per_token); `unknown`, the number of tokens not in the
            vocabulary, each scored as the unknown token. Mean and perplexity of no tokens are None.

        Raises:
            DataError: a line is not text.
            OptionError: the run predicts masked tokens.
        """
        refuse_other_table(lines, "the data for score")
        if isinstance(lines, str | bytes | Mapping | Set) or not isinstance(lines, Iterable):
            raise DataError("score takes several lines: a list of texts")
        if is_table(lines):
            lines = column_of(lines, self.task.settings.language.text)
        self._check_next()
        return self._scorer.score(lines, carry=carry, live=False)

    def _read(self, prompt: str) -> tuple[list[int], list[int]]:
        """Encode a prompt: return the ids that the model reads first, and the prompt's own ids."""
        self._check_next()
        if not isinstance(prompt, str):
            raise DataError(f"the prompt is of type {type(prompt).__name__}; give one text")
        unknown = self.task.encoder.unknown(prompt)
        if unknown:
            named = ", ".join(repr(piece) for piece in unknown[:_UNKNOWN_NAMED])
            more = f" and {len(unknown) - _UNKNOWN_NAMED} more" if len(unknown) > _UNKNOWN_NAMED else ""
            what = "words" if self.task.encoder.options.level == "word" else "characters"
            raise DataError(f"the prompt has {what} that the vocabulary has not: {named}{more}")
        ids = self.task.encoder.encode([prompt])[0].tolist()
        return [self._before, *ids], ids

    def _check_next(self) -> None:
        if self.task.settings.language.objective == "masked":
            raise OptionError("this run predicts masked tokens; text is written and scored by a run of next tokens")


def _device(model: LanguageModel) -> torch.device:
    return model.inputs.embedding.weight.device
