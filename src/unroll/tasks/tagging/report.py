"""Compute tagging metrics over tokens, unseen words, sentences and spans, and for a majority-tag baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unroll.data.ragged import ROWS_AT_ONCE
from unroll.data.text.tagged import TaggedSentences
from unroll.tasks.base import Report
from unroll.tasks.reporting import score_table
from unroll.tasks.tagging.spans import count, total


@dataclass(frozen=True)
class MajorityTagBaseline:
    """Majority-tag baseline: predict the most common tag of each word.

    Attributes:
        tags: (S,) int64, of each distinct token of the training part.
        unseen: the most common tag of all, for other tokens.
    """

    tags: np.ndarray
    unseen: int

    @classmethod
    def learn(cls, part: TaggedSentences, words: int, tags: int) -> MajorityTagBaseline:
        """Learn from the training part with `words` distinct tokens and K `tags`; ties go to the first tag."""
        word, tag = _flat(part)
        pairs, counts = np.unique(word * tags + tag, return_counts=True)
        # the last of a word's pairs is the most common; ties go to the first tag
        order = np.lexsort((-pairs, counts, pairs // tags))
        pairs = pairs[order]
        last = np.append(np.diff(pairs // tags) != 0, True)
        most = np.zeros(words, np.int64)
        most[pairs[last] // tags] = pairs[last] % tags
        return cls(most, int(np.bincount(tag, minlength=tags).argmax()))

    def answer(self, seen: np.ndarray) -> np.ndarray:
        """Predict a tag for each token, given its index among the training part's tokens, or -1."""
        return np.where(seen < 0, self.unseen, self.tags[seen])


def _flat(part: TaggedSentences) -> tuple[np.ndarray, np.ndarray]:
    """Return each token's index among those of the training part, and its tag, concatenated over sentences."""
    if part.tags is None:
        raise TypeError("the sentences have no tags")
    seen, tags = [], []
    for start in range(0, len(part), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(part)))
        seen += [part.table.seen[numbers] for numbers in part.tokens.take(rows)]
        tags += part.tags.take(rows)
    return np.concatenate(seen), np.concatenate(tags).astype(np.int64)


def evaluate(
    part: TaggedSentences,
    answered: Sequence[np.ndarray],
    names: tuple[str, ...],
    baseline: MajorityTagBaseline,
    *,
    spans: bool,
) -> Report:
    """Compute accuracy over tokens, unseen words and sentences; precision, recall and F1 of each tag; the confusion
    matrix; and with `spans` precision, recall and F1 of spans, overall and by type.

    Args:
        part: sentences with the true tags.
        answered: predicted tag numbers (T,) of each sentence.
        names: the K tags; those not in the training data come last, and are never predicted.
        baseline: the majority-tag baseline.
        spans: whether tags mark spans.
    """
    from torchmetrics.functional import classification as tmc

    K, lengths = len(names), part.tokens.lengths
    seen, truth = _flat(part)
    predicted = np.concatenate(answered)
    right, unseen = predicted == truth, seen < 0
    guessed = baseline.answer(seen)
    ends = np.cumsum(lengths)
    sentences = np.add.reduceat(~right, ends - lengths) == 0
    result: Report = {
        "tokens": len(truth),
        "sentences": len(part),
        "accuracy": float(right.mean()),
        "baseline_accuracy": float((guessed == truth).mean()),
        "baseline": f"each word's most common tag in the training part, '{names[baseline.unseen]}' for unseen words",
        "unseen_tokens": int(unseen.sum()),
        "unseen_accuracy": float(right[unseen].mean()) if unseen.any() else None,
        "baseline_unseen_accuracy": float((guessed == truth)[unseen].mean()) if unseen.any() else None,
        "sentence_accuracy": float(sentences.mean()),
    }
    result |= _per_tag(predicted, truth, names)
    if spans:
        told = [_named(numbers, ends, names) for numbers in (truth, predicted, guessed)]
        counts = count(told[0], told[1])
        result["spans"] = total(counts.values()).scores()
        result["baseline_span_f1"] = total(count(told[0], told[2]).values()).scores()["f1"]
        result["per_type"] = {kind: c.scores() for kind, c in counts.items()}
    result["confusion"] = tmc.multiclass_confusion_matrix(
        torch.from_numpy(predicted), torch.from_numpy(truth), K
    ).tolist()
    return result


def _per_tag(predicted: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> Report:
    from torchmetrics.functional import classification as tmc

    figures = {"precision": tmc.multiclass_precision, "recall": tmc.multiclass_recall, "f1": tmc.multiclass_f1_score}
    given, wanted, K = torch.from_numpy(predicted), torch.from_numpy(truth), len(names)
    each = {name: figure(given, wanted, K, average="none").tolist() for name, figure in figures.items()}
    tokens = np.bincount(truth, minlength=K).tolist()
    return {
        "f1_macro": tmc.multiclass_f1_score(given, wanted, K, average="macro").item(),
        "per_tag": {names[k]: {**{n: v[k] for n, v in each.items()}, "tokens": tokens[k]} for k in range(K)},
    }


def _named(numbers: np.ndarray, ends: np.ndarray, names: tuple[str, ...]) -> list[list[str]]:
    return [[names[i] for i in row.tolist()] for row in np.split(numbers, ends[:-1])]


def format_report(report: Report, *, full: bool = True, every: bool = False) -> list[str]:
    """Format the report: one line per metric, with the baseline, and tables of types and tags; see `score_table`."""
    unseen, of = report["unseen_accuracy"], f"{report['unseen_tokens']:,} of {report['tokens']:,} tokens"
    shown = [f"{'accuracy':<18}{report['accuracy']:.4f}   ({report['baseline_accuracy']:.4f} for {report['baseline']})"]
    if unseen is None:
        shown.append(f"{'unseen words':<18}none")
    else:
        shown.append(f"{'unseen words':<18}{unseen:.4f}   ({report['baseline_unseen_accuracy']:.4f}; {of})")
    shown.append(f"{'whole sentences':<18}{report['sentence_accuracy']:.4f}   (of {report['sentences']:,})")
    if "spans" in report:
        scores = report["spans"]
        parts = f"precision {scores['precision']:.4f}, recall {scores['recall']:.4f} of {scores['gold']:,}"
        shown.append(f"{'span f1':<18}{scores['f1']:.4f}   ({report['baseline_span_f1']:.4f}; {parts})")
    shown.append(f"{'f1 macro':<18}{report['f1_macro']:.4f}")
    if full and "per_type" in report:
        shown += score_table("type", report["per_type"], "gold", "spans", every=every)
    return shown + (score_table("tag", report["per_tag"], "tokens", "tokens", every=every) if full else [])
