from __future__ import annotations

import numpy as np
import pytest
import torch

from unroll.data.options import BatchOptions, TextOptions
from unroll.data.text.bio import legal_steps
from unroll.data.text.tagged import NO_TAG, TaggedSentences, TaggingBatches
from unroll.data.text.word_vocab import WordCharVocabulary
from unroll.layers.crf import AllowedTransitions
from unroll.models.options import RecurrentOptions, TaggerOptions, TokenOptions
from unroll.models.tagger import Tagger, build
from unroll.tasks.tagging.loss import Scored, SpanF1, TaggingObjective
from unroll.tasks.tagging.spans import count, total

NAMES = ("B-X", "I-X", "O")
TOKENS = [["a", "b", "a"], ["b"], ["c", "c", "a", "b", "d"], ["a", "d"], ["d", "d", "d", "d"]]
ENCODER = WordCharVocabulary.learn(TOKENS, TextOptions(min_freq=1))
PART = TaggedSentences.encode(
    TOKENS, ENCODER, [np.array([(i + t) % 3 for t in range(len(s))], np.int32) for i, s in enumerate(TOKENS)]
)


def model(decoder: str, legal: AllowedTransitions | None = None) -> Tagger:
    return build(
        TaggerOptions(decoder=decoder, char_hidden_size=4),  # pyright: ignore[reportArgumentType]
        RecurrentOptions(hidden_size=5, bidirectional=True),
        TokenOptions(embedding_dim=4),
        tags=3,
        vocabulary=ENCODER.size,
        characters=ENCODER.character_size,
        legal=legal,
    ).double()


def test_the_loss_is_the_mean_over_tokens_of_each_ones_cross_entropy() -> None:
    objective, tagger = TaggingObjective(NAMES, spans=False), model("softmax")
    (batch,) = TaggingBatches(PART, batch_size=9, shuffle=False)
    scored = objective.output(tagger, batch)
    losses = []
    for i, n in enumerate(batch.lengths.tolist()):
        shares = scored.scores[i, :n].softmax(1)
        losses += [-shares[t, batch.target[i, t]].log() for t in range(n)]
    assert objective.loss(scored, batch).item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-12)
    assert objective.monitor == ("accuracy", "max")


def test_the_random_fields_loss_is_its_likelihood_over_the_tokens() -> None:
    objective, tagger = TaggingObjective(NAMES, spans=True), model("crf")
    (batch,) = TaggingBatches(PART, batch_size=9, shuffle=False)
    scored = objective.output(tagger, batch)
    assert tagger.crf is not None
    likelihood = tagger.crf.log_likelihood(scored.scores, batch.target, batch.lengths)
    assert objective.loss(scored, batch).item() == pytest.approx(-likelihood.sum().item() / 15, abs=1e-12)
    assert objective.monitor == ("span_f1", "max")


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_the_losses_of_two_processes_add_up_to_that_of_one(decoder: str) -> None:
    objective, tagger = TaggingObjective(NAMES, spans=False), model(decoder)
    whole = TaggingBatches(PART, BatchOptions(batch_size=3), shuffle=False)
    for one, *parts in zip(whole, whole.shard(0, 2), whole.shard(1, 2), strict=True):
        losses = [objective.loss(objective.output(tagger, b), b).item() for b in (one, *parts)]
        assert losses[0] == pytest.approx(losses[1] + losses[2], abs=1e-12)


def test_metrics_leave_the_padding_out() -> None:
    objective, tagger = TaggingObjective(NAMES, spans=True), model("softmax")
    metrics = objective.metrics()
    right = tokens = 0
    gold, found = [], []
    for batch in TaggingBatches(PART, batch_size=2, shuffle=False):
        scored = objective.output(tagger, batch)
        objective.update(metrics, scored, batch)
        watched, target = objective.watched(scored, batch)
        assert watched.shape == (batch.total, 3)
        assert NO_TAG not in target.tolist()
        answered = scored.scores.argmax(2)
        for i, n in enumerate(batch.lengths.tolist()):
            truth, answer = batch.target[i, :n].tolist(), answered[i, :n].tolist()
            gold.append([NAMES[k] for k in truth])
            found.append([NAMES[k] for k in answer])
            right += sum(a == b for a, b in zip(truth, answer, strict=True))
            tokens += n
    computed = {name: float(value) for name, value in metrics.compute().items()}
    scores = total(count(gold, found).values()).scores()
    assert computed == pytest.approx({"accuracy": right / tokens, "span_f1": scores["f1"]}, abs=1e-6)


def test_spans_that_are_nowhere_score_zero() -> None:
    metric = SpanF1(NAMES)
    outside = torch.full((1, 3), 2)
    metric.update(outside, outside, torch.tensor([3]))
    assert metric.compute().item() == 0.0
    metric.update(torch.tensor([[0, 1, 9]]), torch.tensor([[0, 1, NO_TAG]]), torch.tensor([2]))
    assert metric.compute().item() == 1.0


def test_a_batch_without_tags_has_no_loss() -> None:
    (batch,) = TaggingBatches(TaggedSentences.encode(TOKENS, ENCODER), batch_size=9, shuffle=False)
    tagger = model("softmax")
    with pytest.raises(TypeError, match="no targets"):
        TaggingObjective(NAMES, spans=False).loss(Scored(torch.zeros(5, 5, 3), tagger), batch)


@pytest.mark.parametrize("decoder", ["softmax", "crf"])
def test_tags_that_training_lacked_are_wrong_and_give_no_loss(decoder: str) -> None:
    objective, tagger = TaggingObjective(NAMES, spans=True), model(decoder)
    tokens = [["a", "b"], ["c", "d"]]
    part = TaggedSentences.encode(tokens, ENCODER, [np.array([0, 1]), np.array([3, 2])], ("B-Y",))
    (batch,) = TaggingBatches(part, batch_size=2, shuffle=False)
    scored = objective.output(tagger, batch)
    if decoder == "crf":
        assert tagger.crf is not None
        known = -tagger.crf.log_likelihood(scored.scores[:1], batch.target[:1], batch.lengths[:1]).sum()
    else:
        logs = -scored.scores.log_softmax(2)
        known = logs[0, 0, 0] + logs[0, 1, 1] + logs[1, 1, 2]
    assert objective.loss(scored, batch).item() == pytest.approx(known.item() / 4, abs=1e-12)
    metrics = objective.metrics()
    metrics["accuracy"].update(torch.tensor([0, 1, 0, 2]), batch.target.flatten())
    metrics["span_f1"].update(torch.tensor([[0, 1], [0, 2]]), batch.target, batch.lengths, batch.unseen_tags)
    assert metrics["accuracy"].compute().item() == pytest.approx(3 / 4)
    # found: two spans of X; there: one of X and one of Y
    assert metrics["span_f1"].compute().item() == pytest.approx(2 * 1 / 4)
    assert len(objective.watched(scored, batch)[1]) == 3


def test_the_random_field_does_not_learn_from_what_it_does_not_allow() -> None:
    legal = AllowedTransitions(*map(torch.from_numpy, legal_steps(NAMES, "BIO")))
    tagger = model("crf", legal)
    objective = TaggingObjective(NAMES, spans=True)
    tokens = [["a", "b"], ["c", "d"], ["a"]]
    part = TaggedSentences.encode(tokens, ENCODER, [np.array([0, 1]), np.array([2, 1]), np.array([1])])
    (batch,) = TaggingBatches(part, batch_size=3, shuffle=False)
    scored = objective.output(tagger, batch)
    assert tagger.crf is not None
    legal_one = batch.rows == 0
    scores, target, lengths = scored.scores[legal_one], batch.target[legal_one], batch.lengths[legal_one]
    known = -tagger.crf.log_likelihood(scores, target, lengths).sum()
    assert 0 < known.item() < 100
    assert objective.loss(scored, batch).item() == pytest.approx(known.item() / 5, abs=1e-12)
