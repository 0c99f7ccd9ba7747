from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unroll.data.text.bptt import BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.data.text.masked import MaskedWindows
from unroll.errors import DataError, OptionError, RunError
from unroll.models.language_model import LanguageModel, build_language_model
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.runs import Run
from unroll.tasks.base import DataPaths
from unroll.tasks.language_modeling.loss import MaskedTokens, NextToken
from unroll.tasks.language_modeling.options import LanguageOptions, LanguageSettings
from unroll.tasks.language_modeling.report import Dynamic, format_report, masked_tokens, next_tokens
from unroll.tasks.language_modeling.task import LanguageTask, cheapest_cutoffs

V = 9
TEXT = "the cat sat on the mat .\nthe dog sat on the cat .\n\n" * 12


def tokens(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, V, n)


def model(bidirectional: bool = False, **more: Any) -> LanguageModel:
    torch.manual_seed(1)
    recurrent = RecurrentOptions(hidden_size=6, num_layers=2, bidirectional=bidirectional)
    made = build_language_model(TokenOptions(embedding_dim=5), recurrent, vocabulary=V, **more).double()
    for p in made.parameters():
        torch.nn.init.uniform_(p, -0.8, 0.8)
    return made


def settings(**values: Any) -> LanguageSettings:
    return LanguageSettings.from_flat({"hidden_size": 6, "embedding_dim": 5, "min_freq": 1, **values})


def prepared(path: Path, text: str = TEXT, sources: dict | None = None, said: list | None = None, **values: Any):
    path.write_text(text, encoding="utf-8")
    named = DataPaths(**{"data": [str(path)]} | (sources or {}))
    return LanguageTask.prepare("language-model", settings(**values), named, (said if said is not None else []).append)


# objectives


def nll_of(made: LanguageModel, corpus: Corpus, size: int) -> list[Tensor]:
    """Each stream as one long window."""
    edges = [r * len(corpus) // size for r in range(size + 1)]
    found = []
    for begin, end in itertools.pairwise(edges):
        target = torch.from_numpy(corpus.tokens[begin:end]).unsqueeze(0)
        first = corpus.tokens[begin - 1] if begin else corpus.start
        x = torch.cat([torch.tensor([[first]]), target[:, :-1]], 1)
        resets = torch.zeros_like(x, dtype=torch.bool)
        for at in corpus.documents:
            if begin <= at < end:
                resets[0, at - begin], x[0, at - begin] = True, corpus.start
        features, _, _ = made(x, None, None, resets)
        found.append(made.nll(features, target)[0])
    return found


@torch.no_grad()
@pytest.mark.parametrize("documents", [(), (11, 12, 60, 133, 199)])
@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_carried_windows_are_one_long_window(documents: tuple[int, ...], jitter: float) -> None:
    made, corpus = model().eval(), Corpus.of(tokens(), documents, start=3)
    objective = NextToken()
    parts: dict[int, list[Tensor]] = {r: [] for r in range(3)}
    losses = weights = 0.0
    for batch in BPTTBatches(corpus, 3, 7, jitter=jitter, seed=2):
        scored = objective.output(made, batch)
        losses += float(objective.loss(scored, batch)) * objective.weight(batch)
        weights += objective.weight(batch)
        for r in range(3):
            parts[r].append(scored.nll[r][scored.counted[r]])
    for r, expected in enumerate(nll_of(made, corpus, 3)):
        assert (torch.cat(parts[r]) - expected).abs().max() < 1e-12
    mean = torch.cat(nll_of(made, corpus, 3)).mean()
    assert losses / weights == pytest.approx(float(mean), rel=1e-12)


def test_gradients_do_not_reach_the_window_before() -> None:
    made, objective = model().train(), NextToken()
    first, second = list(BPTTBatches(Corpus.of(tokens(20)), 2, 5))[:2]
    objective.output(made, first)
    assert all(not t.requires_grad for t in _flat(objective.state_dict()["state"]))
    objective.loss(objective.output(made, second), second).backward()


def test_training_and_validation_keep_their_own_state() -> None:
    made, objective = model(), NextToken()
    training, validation = BPTTBatches(Corpus.of(tokens(60)), 3, 5), BPTTBatches(Corpus.of(tokens(40, 1)), 2, 5)
    made.train()
    a, b, c = list(training)[:3]
    objective.output(made, a)
    objective.output(made, b)
    kept = [t.clone() for t in _flat(objective.state_dict()["state"])]
    made.eval()
    for batch in validation:
        objective.output(made, batch)
    assert all(torch.equal(x, y) for x, y in zip(kept, _flat(objective.state_dict()["state"]), strict=True))
    made.train()
    expected = objective.output(made, c).nll
    other = NextToken()
    other.load_state_dict({"state": (tuple(kept))})
    assert torch.equal(other.output(made, c).nll, expected)


def test_a_window_in_the_middle_needs_the_state_before_it() -> None:
    objective = NextToken()
    objective.load_state_dict({"state": None})
    batch = list(BPTTBatches(Corpus.of(tokens(20)), 2, 5))[1]
    with pytest.raises(RunError, match="the state that the windows before left is missing"):
        objective.output(model(), batch)


@torch.no_grad()
def test_penalties_are_those_of_the_paper() -> None:
    """loss = tokens / nominal (mean nll + alpha mean h^2 + beta mean (h_t - h_{t-1})^2), as in AWD-LSTM's program."""
    made = model(head_dropout=0.4).train()
    for batch in BPTTBatches(Corpus.of(tokens(180)), 4, 9, jitter=0.3, seed=1):
        if not batch.whole:
            continue
        objective = NextToken(2.0, 1.5)
        torch.manual_seed(5)
        scored = objective.output(made, _first(batch))
        torch.manual_seed(5)
        features, raw, _ = made(batch.x)
        expected = (
            made.nll(features, batch.target).mean()
            + 2.0 * features.pow(2).mean()
            + 1.5 * (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
        ) * (batch.total / batch.nominal)
        assert float(objective.loss(scored, batch)) == pytest.approx(float(expected), rel=1e-12)
        made.eval()
        assert objective.output(made, _first(batch)).penalty is None
        made.train()


@torch.no_grad()
def test_the_losses_of_processes_add_up() -> None:
    made = model().train()
    corpus = Corpus.of(tokens(190), (3, 50, 51))
    for masked in (False, True):
        whole = MaskedWindows(corpus, 7, 9, share=0.3, anew=True) if masked else BPTTBatches(corpus, 7, 9)
        kind = MaskedTokens if masked else NextToken
        objectives = [kind(2.0, 1.5) for _ in range(4)]
        for every, *own in zip(whole, *(whole.shard(rank, 3) for rank in range(3)), strict=True):
            total, *parts = (
                float(o.loss(o.output(made, b), b)) for o, b in zip(objectives, (every, *own), strict=True)
            )
            assert sum(parts) == pytest.approx(total, rel=1e-12)
            assert {objectives[0].weight(b) for b in (every, *own)} == {every.nominal}


@torch.no_grad()
def test_metrics() -> None:
    made, objective = model().eval(), NextToken()
    metrics = objective.metrics().double()
    corpus = Corpus.of(tokens(91))
    for batch in BPTTBatches(corpus, 4, 6):
        objective.update(metrics, objective.output(made, batch), batch)
    mean = float(torch.cat(nll_of(made, corpus, 4)).mean())
    found = metrics.compute()
    assert float(found["perplexity"]) == pytest.approx(math.exp(mean), rel=1e-12)
    assert float(found["bits"]) == pytest.approx(mean / math.log(2), rel=1e-12)
    assert objective.monitor == ("perplexity", "min")
    assert not metrics["perplexity"].higher_is_better


# report


@pytest.mark.parametrize("documents", [(), (40, 41, 700)])
def test_the_report_is_a_loop_over_every_token(documents: tuple[int, ...]) -> None:
    made, corpus = model(), Corpus.of(tokens(900), documents)
    frequencies = np.arange(V) * 3
    found = next_tokens(made.train(), corpus, frequencies, window=35)
    assert made.training
    made.eval()
    nats, state, before = 0.0, made.start(1), corpus.start
    with torch.no_grad():
        for at, token in enumerate(corpus.tokens.tolist()):
            if at in documents:
                state, before = made.start(1), corpus.start
            log_p, state = made.step(torch.tensor([before]), state)
            nats -= float(log_p[0, token])
            before = token
    assert found["tokens"] == 900
    assert next(iter(found)) == "tokens"
    assert found["nats_per_token"] == pytest.approx(nats / 900, rel=1e-12)
    assert found["bits_per_token"] == pytest.approx(nats / 900 / math.log(2), rel=1e-12)
    assert found["perplexity"] == pytest.approx(math.exp(nats / 900), rel=1e-12)
    shares = (frequencies + 1) / (frequencies[1:] + 1).sum()
    unigram = -np.log(shares[corpus.tokens]).mean()
    assert found["baseline_perplexity"] == pytest.approx(math.exp(unigram), rel=1e-12)


def test_bits_of_the_original_text(tmp_path: Path) -> None:
    whole = prepared(tmp_path / "a.txt", "Zoé é .\n" * 30, level="word", validation_fraction=0.0)
    corpus = whole.train
    made = whole.task.network()
    found = whole.task.evaluate(made, corpus)
    bits = found["bits_per_token"] * found["tokens"]
    assert found["tokens"] == 30 * 4
    assert found["bits_per_character"] == pytest.approx(bits / (30 * 8), rel=1e-12)
    assert found["bits_per_byte"] == pytest.approx(bits / (30 * 10), rel=1e-12)
    shown = format_report(found)
    assert [line.split("  ")[0] for line in shown] == [
        *("perplexity", "nats per token", "bits per token", "bits per character", "bits per byte")
    ]
    assert f"({found['baseline_perplexity']:.2f} for each token's share in the training part)" in shown[0]


def test_unknown_tokens_are_counted_and_said(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("the bird sat\n")
    whole = prepared(tmp_path / "a.txt", sources={"test": [str(tmp_path / "b.txt")]})
    found = whole.task.evaluate(whole.task.network(), whole.test)
    assert found["unknown"] == 1
    assert format_report(found)[-1] == "unknown tokens      1 (25.00%), each counted as the unknown token"


def test_dynamic_evaluation_scores_before_it_learns_and_leaves_the_model_as_it_was() -> None:
    made = model().train()
    corpus = Corpus.of(tokens(60))
    before = {k: v.clone() for k, v in made.state_dict().items()}
    found = next_tokens(made, corpus, np.ones(V), window=20, dynamic=Dynamic(0.5, 0.1))
    assert made.training
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    assert all(p.grad is None for p in made.parameters())
    assert (found["dynamic_rate"], found["dynamic_decay"]) == (0.5, 0.1)
    assert "dynamic evaluation  rate 0.5, decay 0.1" in format_report(found)

    nats, state = 0.0, None
    x = torch.from_numpy(np.concatenate([[corpus.start], corpus.tokens[:-1]])).unsqueeze(0)
    target = torch.from_numpy(corpus.tokens).unsqueeze(0)
    made.eval()
    for begin in range(0, 60, 20):
        part = slice(begin, begin + 20)
        features, _, state = made(x[:, part], None, state)
        state = tuple(s.detach() for s in state)
        total = made.nll(features, target[:, part]).sum()
        nats += float(total.detach())
        made.zero_grad()
        (total / 20).backward()
        with torch.no_grad():
            for name, p in made.named_parameters():
                assert p.grad is not None
                p -= 0.5 * p.grad
                p += 0.1 * (before[name] - p)
    assert found["nats_per_token"] == pytest.approx(nats / 60, rel=1e-12)


def test_dynamic_evaluation_learns_a_text_that_repeats_itself() -> None:
    corpus = Corpus.of(np.tile(np.arange(2, V), 60))
    static, moving = (next_tokens(model(), corpus, np.ones(V), window=14, dynamic=d) for d in (None, Dynamic(3.0)))
    assert moving["perplexity"] < 0.7 * static["perplexity"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0.0,), "dynamic_rate is 0.0; it must be a number above 0"),
        ((math.nan,), "dynamic_rate is nan"),
        ((1.0, 1.0), "dynamic_decay is 1.0; it must be a number from 0 to below 1"),
    ],
)
def test_dynamic_options(given: tuple[float, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Dynamic(*given)


def test_a_rate_that_diverges() -> None:
    with pytest.raises(OptionError, match=r"dynamic_rate is 1e\+200, with which the model diverges"):
        next_tokens(model(), Corpus.of(tokens(60)), np.ones(V), window=10, dynamic=Dynamic(1e200))


@torch.no_grad()
def test_masked_report_is_of_the_hidden_tokens() -> None:
    made, windows = model(bidirectional=True), MaskedWindows(Corpus.of(tokens(300)), 4, 11, share=0.3, anew=False)
    found = masked_tokens(made.train(), windows, np.ones(V))
    assert made.training
    made.eval()
    nats, right, total = 0.0, 0, 0
    for batch in windows:
        log_p = made.log_prob(made(batch.x, batch.lengths)[0].reshape(-1, 5)).view(*batch.x.shape, V)
        for b, t in batch.chosen.nonzero().tolist():  # type: ignore[union-attr]
            target = int(batch.target[b, t])  # type: ignore[index]
            nats -= float(log_p[b, t, target])
            right += int(log_p[b, t].argmax()) == target
            total += 1
    assert found["tokens"] == total
    assert found["nats_per_token"] == pytest.approx(nats / total, rel=1e-12)
    assert found["accuracy"] == right / total
    assert found == masked_tokens(made, windows, np.ones(V))
    assert any(line.startswith("accuracy") for line in format_report(found))


# the task


def test_the_text_is_divided_by_position(tmp_path: Path) -> None:
    text = "".join(f"{i % 10}" for i in range(1000))
    found = prepared(tmp_path / "a.txt", text, level="char", normalize="none", validation_fraction=0.25)
    decoder = found.task.encoder.decoder
    assert decoder().decode(found.train.tokens) == text[:750]
    assert decoder().decode(found.valid.tokens) == text[750:]
    said = list(found.task.describe(found, found.task.network()))
    assert said[0] == "750 tokens to train, 250 to validate"
    assert said[1] == "32 streams, 1 window of about 24 tokens an epoch"
    words = prepared(tmp_path / "b.txt", validation_fraction=0.2)
    assert len(words.train) + len(words.valid) == 12 * 17
    assert prepared(tmp_path / "c.txt", validation_fraction=0.0).valid is None


def test_the_vocabulary_is_of_the_training_part(tmp_path: Path) -> None:
    found = prepared(tmp_path / "a.txt", "a a b b\n" * 9 + "c c c c\n", validation_fraction=0.1)
    assert found.task.encoder.size == 5
    assert found.valid.counts.unknown == 4
    (tmp_path / "v.txt").write_text("a d\n")
    other = prepared(tmp_path / "b.txt", "a b c\n", sources={"valid": [str(tmp_path / "v.txt")]})
    assert (len(other.train), len(other.valid), other.valid.counts.unknown) == (4, 3, 1)


def test_documents_are_not_divided(tmp_path: Path) -> None:
    rows = [{"text": f"row {i} has words"} for i in range(10)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    named = DataPaths([str(tmp_path / "a.jsonl")])
    found = LanguageTask.prepare("language-model", settings(validation_fraction=0.25, reset_state="row"), named, print)
    assert (len(found.train), len(found.valid)) == (8 * 5, 2 * 5)
    assert found.train.documents.tolist() == list(range(5, 40, 5))
    blank = prepared(tmp_path / "b.txt", reset_state="blank", validation_fraction=0.3)
    assert len(blank.train) % 17 == 0
    assert blank.train.counts.documents == len(blank.train) // 17 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a.txt is empty"),
        ("\n \n\t\n", r"a.txt holds nothing but white space"),
    ],
)
@pytest.mark.parametrize("level", ["word", "char", "byte", "bpe"])
def test_texts_that_are_none(tmp_path: Path, text: str, message: str, level: str) -> None:
    more = {"vocab_size": 260} if level == "bpe" else {}
    with pytest.raises(DataError, match=message):
        prepared(tmp_path / "a.txt", text, level=level, **more)


def test_a_text_of_one_token(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.txt is too short to be divided .* \(0.1\); give --valid"):
        prepared(tmp_path / "a.txt", "w", level="char")
    found = prepared(tmp_path / "a.txt", "w", level="char", validation_fraction=0.0)
    assert len(found.train) == 1
    windows = found.task.batches(found.train, training=True)
    assert len(windows) == 1
    assert found.task.evaluate(found.task.network(), found.train)["tokens"] == 1
    said = list(found.task.describe(found, found.task.network()))
    assert said[1] == "1 stream (batch_size is 32), 1 window of about 1 token an epoch"


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a b\n\xff\xfe\nb a\n" * 3)
    said: list[str] = []
    named = DataPaths([str(tmp_path / "a.txt")])
    found = LanguageTask.prepare(
        "language-model", settings(skip_bad_rows=True, validation_fraction=0.0), named, said.append
    )
    assert len(found.train) == 18
    assert said[0].startswith(f"left out 3 of the lines or rows of {tmp_path / 'a.txt'} (")


def test_there_and_back(tmp_path: Path) -> None:
    found = prepared(tmp_path / "a.txt", softmax="adaptive", bptt=9)
    run = Run(tmp_path / "run")
    found.task.save(run)
    run.write_config("language-model", found.task.settings.flat(), {})
    task = LanguageTask.from_run(run)
    assert task.settings == found.task.settings
    assert len(task.settings.language.cutoffs) == 2
    assert task.frequencies.tolist() == found.task.frequencies.tolist()
    assert task.encoder.to_json() == found.task.encoder.to_json()
    again = task.load([str(tmp_path / "a.txt")], task.settings.source, print)
    assert again.tokens.tolist() == [*found.train.tokens, *found.valid.tokens]
    assert b"".join(task.fingerprint(found.train)) == b"".join(found.task.fingerprint(found.train))
    assert b"".join(task.fingerprint(found.valid)) != b"".join(task.fingerprint(found.train))
    counts = json.loads((run.path / "frequencies.json").read_text())
    for change in ({"counts": counts["counts"][:-1]}, {"counts": [-1] * len(counts["counts"])}, {"format": "?"}):
        run.write_json("frequencies.json", counts | change)
        with pytest.raises(RunError, match=r"frequencies.json is (damaged|not in the form)"):
            LanguageTask.from_run(run)


def test_masked_prediction_of_a_text(tmp_path: Path) -> None:
    found = prepared(tmp_path / "a.txt", objective="masked", bidirectional=True, bptt=12)
    assert isinstance(found.task.objective(), MaskedTokens)
    batches = found.task.batches(found.train, training=True)
    assert isinstance(batches, MaskedWindows)
    assert (batches.share, batches.anew) == (0.15, True)
    assert not found.task.batches(found.valid, training=False).anew  # type: ignore[attr-defined]
    made = found.task.network()
    assert found.task.evaluate(made, found.valid)["tokens"] > 0
    with pytest.raises(OptionError, match="dynamic evaluation needs a model of the next token"):
        found.task.evaluate(made, found.valid, Dynamic(1.0))


def test_cheapest_cutoffs_are_the_cheapest_of_all() -> None:
    frequencies = (1e6 / np.arange(1, 61)).astype(int)
    shares = frequencies / frequencies.sum()

    def cost(a: int, b: int) -> float:
        return a + shares[a:b].sum() * (b - a) + shares[b:].sum() * (60 - b)

    best = min(((a, b) for a in range(2, 60) for b in range(a + 1, 60)), key=lambda p: cost(*p))
    assert cost(*cheapest_cutoffs(frequencies)) <= 1.02 * cost(*best)
    with pytest.raises(DataError, match="a vocabulary of 5 entries is too small for clusters"):
        cheapest_cutoffs(np.ones(5))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bidirectional": True}, "bidirectional layers would see the token that they are to predict"),
        ({"mask_share": 0.2}, "mask_share is set, but it goes with objective 'masked'"),
        ({"objective": "masked", "mask_share": 1.0}, "mask_share is 1.0"),
        ({"cutoffs": [5]}, "cutoffs is set, but it goes with softmax 'adaptive'"),
        ({"bptt": 0}, "bptt is 0; it must be at least 1"),
        ({"bptt_jitter": 0.5}, "bptt_jitter is 0.5; it must be at least 0 and below 0.5"),
        ({"head_dropout": 1.0}, "head_dropout is 1.0"),
        ({"activation_penalty": -1.0}, "activation_penalty is -1.0"),
        ({"reset_state": "rows"}, "reset_state is 'rows'; did you mean 'row'"),
        ({"level": "char", "line_ends": False}, "line_ends is off, which at level 'char' would run the lines together"),
        ({"max_length": 5}, "there is no option 'max_length'"),
        ({"bucket_batches": 5}, "there is no option 'bucket_batches' for this task"),
        ({"level": "bpe"}, "vocab_size is 0; it must be at least 258 for level 'bpe'"),
    ],
)
def test_options_that_do_not_go_together(values: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        settings(**values)


def test_every_option_has_its_help() -> None:
    from unroll.options import help_texts

    for group in LanguageSettings.groups():
        texts = help_texts(group)
        assert all(texts[name] for name in group.__dataclass_fields__)
    assert LanguageOptions(mask_share=0.3, objective="masked").masked == 0.3


def _first(batch: Any) -> Any:
    import dataclasses

    return dataclasses.replace(batch, first=True)


def _flat(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else [t for part in state for t in _flat(part)]
