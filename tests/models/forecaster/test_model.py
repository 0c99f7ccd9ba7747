from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from unroll.errors import OptionError
from unroll.layers.revin import LocScale
from unroll.models.forecaster.inputs import ForecastInputs, segment_length
from unroll.models.forecaster.model import Forecaster
from unroll.models.forecaster.strategies import Sizes, joined
from unroll.models.options import ForecasterOptions, RecurrentOptions

pytestmark = pytest.mark.slow

B, L, F, K, P, Q, S = 3, 12, 6, 2, 1, 2, 1
STRATEGIES = ("recursive", "direct", "seq2seq", "segrnn")
OUTPUTS = ("point", "quantile", "normal", "student_t", "negative_binomial")


def model(strategy: str, *, past: int = 0, known: int = Q, recurrence: str = "gru", **options: Any) -> Forecaster:
    torch.manual_seed(1)
    recurrent = {
        k: options.pop(k) for k in ("num_layers", "bidirectional", "proj_size", "last_hidden_size") if k in options
    }
    sizes = Sizes(L, F, K, past, known, S, 0)
    layers = RecurrentOptions(recurrence=recurrence, hidden_size=8, **recurrent)
    made = Forecaster(ForecasterOptions(strategy=strategy, **options), layers, sizes)
    return made.double().eval()


def window(*, past: int = 0, known: int = Q, horizon: int = F, length: int = L, seed: int = 0) -> ForecastInputs:
    torch.manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64)

    units = LocScale(torch.full((B, 1, K), 30.0).double(), torch.full((B, 1, K), 7.0).double())
    x = draw(B, length, K).cumsum(1)
    return ForecastInputs(x, draw(B, length, past), draw(B, length + horizon, known), draw(B, S), units)


@pytest.mark.parametrize("recurrence", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("channels", ["auto", "independent"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_answers_every_step(strategy: str, channels: str, recurrence: str) -> None:
    for output in OUTPUTS:
        made = model(strategy, channels=channels, recurrence=recurrence, output=output, num_layers=2)
        answer = made(window())
        assert answer.shape == (B, F, K, made.output.size)
        assert bool(answer.isfinite().all())
        if output != "point":
            found = made.quantiles(window(), (0.1, 0.5, 0.9))
            assert found.shape == (B, F, K, 3)
            assert bool((found.diff(dim=-1) >= 0).all())
            assert made.sample(window(), 5).shape == (B, 5, F, K)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_row_is_answered_as_if_it_were_alone(strategy: str) -> None:
    made, whole = model(strategy, channels="independent"), window()
    for row in range(B):
        units = LocScale(whole.units.location[row : row + 1], whole.units.scale[row : row + 1])
        one = ForecastInputs(*(t[row : row + 1] for t in whole[:4]), units)
        torch.testing.assert_close(made(one)[0], made(whole)[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_independent_channels_do_not_see_each_other(strategy: str) -> None:
    made, given = model(strategy, channels="independent"), window()
    moved = given.x.clone()
    moved[:, :, 1] += 3.0
    torch.testing.assert_close(made(given._replace(x=moved))[:, :, 0], made(given)[:, :, 0], rtol=0, atol=0)
    assert (made(given._replace(x=moved))[:, :, 1] != made(given)[:, :, 1]).any()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("instance_norm", ["last", "revin"])
def test_a_window_that_stands_elsewhere_is_forecast_there(strategy: str, instance_norm: str) -> None:
    if strategy == "recursive" and instance_norm == "revin":
        with pytest.raises(OptionError, match="needs the whole look-back"):
            model(strategy, instance_norm=instance_norm)
        return
    made, given = model(strategy, instance_norm=instance_norm), window()
    moved = made(given._replace(x=given.x + 5.0))
    torch.testing.assert_close(moved, made(given) + 5.0, rtol=0, atol=1e-6 if instance_norm == "revin" else 1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_covariates_are_read(strategy: str) -> None:
    past = 0 if strategy == "recursive" else P
    made, given = model(strategy, past=past), window(past=past)
    first = made(given)
    for name in ("known", "static", *(["past"] if past else [])):
        changed = made(given._replace(**{name: getattr(given, name) + 1.0}))
        assert (changed != first).all(), name
    future = given.known.clone()
    future[:, L:] += 1.0
    assert (made(given._replace(known=future)) != first).all()


def test_known_of_a_step_does_not_reach_the_steps_before_it() -> None:
    for strategy in ("recursive", "seq2seq"):
        made, given = model(strategy), window()
        later = given.known.clone()
        later[:, L + 3 :] = 9.0
        a, b = made(given), made(given._replace(known=later))
        assert torch.equal(a[:, :3], b[:, :3])
        assert (a[:, 3:] != b[:, 3:]).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("forcing", [0.0, 0.5, 1.0])
def test_no_answer_in_training_depends_on_a_value_at_or_after_its_step(strategy: str, forcing: float) -> None:
    options = {"teacher_forcing": forcing} if strategy == "seq2seq" else {}
    made, given = model(strategy, **options).train(), window()
    truth = torch.randn(B, F, K, dtype=torch.float64)
    observed = torch.ones(B, F, K, dtype=torch.bool)
    for step in range(F):
        spoilt = truth.clone()
        spoilt[:, step:] = torch.nan
        found = []
        for values in (truth, spoilt):
            torch.manual_seed(7)
            found.append(made.teach(given, values, observed).parameters[:, -F:])
        # an answer of step f is given the truth up to f - 1
        assert torch.equal(found[0][:, : step + 1], found[1][:, : step + 1])
    if strategy == "recursive":
        spoilt = given.x.clone()
        spoilt[:, 4:] = torch.nan
        answers = [made.teach(given._replace(x=x), truth, observed).parameters[:, :4] for x in (given.x, spoilt)]
        assert torch.equal(*answers)


@pytest.mark.parametrize("instance_norm", ["none", "last"])
@pytest.mark.parametrize("recurrence", ["rnn", "lstm", "gru"])
def test_a_recursive_forecast_by_steps_is_the_prefix_read_again(recurrence: str, instance_norm: str) -> None:
    made = model("recursive", recurrence=recurrence, instance_norm=instance_norm, num_layers=2)
    given = window()
    by_steps = made(given)
    x = given.x
    for f in range(F):
        prefix = given._replace(x=x)
        step = made(prefix, 1)
        torch.testing.assert_close(step[:, 0], by_steps[:, f], rtol=0, atol=1e-12)
        x = torch.cat([x, made.output.point(step, given.units)], 1)


@pytest.mark.parametrize("instance_norm", ["none", "last"])
def test_a_stream_that_moved_on_is_the_whole_prefix_read_again(instance_norm: str) -> None:
    made = model("recursive", recurrence="lstm", instance_norm=instance_norm)
    given = window(length=L + 5)
    with torch.no_grad():
        at = made.start(given._replace(x=given.x[:, :L]))
        for t in (L, L + 1):
            at = made.read(at, given._replace(x=given.x[:, t : t + 1], known=given.known[:, t : t + 1]))
        at = made.read(at, given._replace(x=given.x[:, L + 2 :], known=given.known[:, L + 2 : L + 5]))
    torch.testing.assert_close(made(given, F, at), made(given), rtol=0, atol=1e-12)


@pytest.mark.parametrize("recurrence", ["lstm", "gru"])
def test_streams_are_joined_and_repeated(recurrence: str) -> None:
    made = model("recursive", recurrence=recurrence, channels="independent", num_layers=2, output="normal")
    given, rows = window(), range(B)
    each = []
    for row in rows:
        units = LocScale(given.units.location[row : row + 1], given.units.scale[row : row + 1])
        each.append(made.start(ForecastInputs(*(t[row : row + 1] for t in given[:4]), units)))
    whole, one = made(given), joined(each)
    torch.testing.assert_close(made(given, at=one), whole, rtol=0, atol=1e-12)
    torch.manual_seed(4)
    paths = made.sample(given, 7)
    torch.manual_seed(4)
    torch.testing.assert_close(made.sample(given, 7, at=one), paths, rtol=0, atol=1e-12)
    with pytest.raises(OptionError, match="only 'recursive' streams"):
        model("direct").start(given)


def test_teaching_a_recursive_model_is_one_step_ahead_everywhere() -> None:
    made, given = model("recursive"), window()
    truth = torch.randn(B, F, K, dtype=torch.float64)
    observed = torch.rand(B, F, K) > 0.5
    taught = made.teach(given, truth, observed)
    assert taught.parameters.shape == (B, L - 1 + F, K, 1)
    assert torch.equal(taught.target, torch.cat([given.x, truth], 1)[:, 1:])
    assert torch.equal(taught.observed[:, -F:], observed)
    values = torch.cat([given.x, truth], 1)
    for b, f, k in torch.cartesian_prod(*map(torch.arange, (B, F, K))).tolist():
        if not observed[b, f, k]:
            values[b, L + f, k] = values[b, L + f - 1, k]
    for t in (1, 5, L, L + 3):
        one = made(given._replace(x=values[:, :t], known=given.known), 1)
        torch.testing.assert_close(one[:, 0], taught.parameters[:, t - 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", ["direct", "segrnn"])
def test_beyond_its_horizon_a_model_rolls_on_its_own_answers(strategy: str) -> None:
    made = model(strategy)
    given = window(horizon=2 * F + 1)
    far = made(given, 2 * F + 1)
    assert far.shape == (B, 2 * F + 1, K, 1)
    torch.testing.assert_close(far[:, :F], made(given))
    x = torch.cat([given.x, far[:, :F].squeeze(3)], 1)[:, -L:]
    torch.testing.assert_close(far[:, F : 2 * F], made(given._replace(x=x, known=given.known[:, F:])))
    assert torch.equal(made(given, 2), made(given)[:, :2])


def test_a_shorter_horizon_needs_known_values_only_so_far() -> None:
    made, given = model("direct"), window()
    torch.testing.assert_close(made(given._replace(known=given.known[:, : L + 2]), 2), made(given)[:, :2])


@pytest.mark.parametrize("strategy", ["recursive", "seq2seq"])
def test_a_model_that_feeds_on_its_answers_goes_on(strategy: str) -> None:
    made, given = model(strategy), window(horizon=2 * F)
    assert torch.equal(made(given, 2 * F)[:, :F], made(given))


def test_past_covariates_end_with_the_look_back() -> None:
    with pytest.raises(OptionError, match="past covariates are not known that far"):
        model("direct", past=P)(window(past=P, horizon=2 * F), F + 1)
    with pytest.raises(OptionError, match="past covariates end with the look-back"):
        model("recursive", past=P)


def test_paths_are_drawn_step_by_step_where_answers_are_fed() -> None:
    made, given = model("recursive", output="normal"), window()
    torch.manual_seed(5)
    paths = made.sample(given, 400)
    torch.manual_seed(5)
    assert torch.equal(paths, made.sample(given, 400))
    # an ancestral path of differences wanders: later steps spread more than the first
    spread = paths.std(1).mean((0, 2))
    assert spread[-1] > 1.5 * spread[0]
    first = made(given)[:, 0]
    torch.testing.assert_close(paths[:, :, 0].mean(1), first[..., 0], rtol=0, atol=0.2)
    torch.testing.assert_close(paths[:, :, 0].std(1), first[..., 1], rtol=0.2, atol=0)
    levels = (0.25, 0.5, 0.75)
    torch.manual_seed(6)
    found = made.quantiles(given, levels)
    torch.manual_seed(6)
    drawn = made.sample(given, 200)
    wanted = torch.stack([drawn.quantile(q, 1) for q in levels], -1)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_a_number_has_neither_paths_nor_intervals() -> None:
    for strategy in STRATEGIES:
        with pytest.raises(OptionError, match="no sample paths"):
            model(strategy).sample(window(), 3)


def test_attention_looks_at_the_look_back() -> None:
    for bidirectional in (False, True):
        made = model("seq2seq", recurrence="lstm", bidirectional=bidirectional, num_layers=2, proj_size=4)
        weights = made.attention(window())
        assert weights.shape == (B, F, L)
        torch.testing.assert_close(weights.sum(2), torch.ones(B, F, dtype=torch.float64), rtol=0, atol=1e-12)
    for score in ("dot", "general"):
        assert model("seq2seq", attention=score)(window()).shape == (B, F, K, 1)
    with pytest.raises(OptionError, match="no attention to look at"):
        model("direct").attention(window())


def test_teacher_forcing_all_at_once_is_step_by_step() -> None:
    made, given = model("seq2seq", teacher_forcing=1.0).train(), window()
    truth = torch.randn(B, F, K, dtype=torch.float64)
    observed = torch.ones(B, F, K, dtype=torch.bool)
    whole = made.teach(given, truth, observed).parameters
    made.strategy.forcing = 1.0 - 1e-9
    torch.testing.assert_close(made.teach(given, truth, observed).parameters, whole, rtol=0, atol=1e-12)


def test_out_of_training_no_truth_is_given() -> None:
    made, given = model("seq2seq", teacher_forcing=1.0), window()
    observed = torch.ones(B, F, K, dtype=torch.bool)
    taught = made.teach(given, torch.full((B, F, K), torch.nan).double(), observed)
    assert torch.equal(taught.parameters, made(given))


def test_gradients_reach_every_weight() -> None:
    for strategy in STRATEGIES:
        past = 0 if strategy == "recursive" else P
        made = model(strategy, past=past).train()
        truth = torch.randn(B, F, K, dtype=torch.float64)
        taught = made.teach(window(past=past), truth, torch.ones(B, F, K, dtype=torch.bool))
        made.output.loss(taught.parameters, taught.target, window().units).mean().backward()
        without = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []


def test_the_segment_layer_is_the_papers() -> None:
    """One channel, one row, by hand: W x + b, relu, GRU over the segments, GRU once more from each query."""
    torch.manual_seed(0)
    made = Forecaster(
        ForecasterOptions(strategy="segrnn", segment=3),
        RecurrentOptions(recurrence="gru", hidden_size=8),
        Sizes(L, F, 1, 0, 0, 0, 0),
    ).double()
    x = torch.randn(1, L, 1, dtype=torch.float64)
    units = LocScale(torch.zeros(1, 1, 1).double(), torch.ones(1, 1, 1).double())
    empty = torch.zeros(1, L + F, 0).double()
    found = made(ForecastInputs(x, empty[:, :L], empty, torch.zeros(1, 0).double(), units))
    part = made.strategy
    gru = torch.nn.GRU(8, 8, batch_first=True).double()
    gru.load_state_dict(part.recurrent.state_dict())
    e = torch.relu(part.embed((x - x[:, -1:]).reshape(1, L // 3, 3)))
    h = gru(e)[1]
    parts = []
    for j in range(F // 3):
        q = torch.cat([part.positions[j], part.channels[0]])
        parts.append(part.head(gru(q.view(1, 1, 8), h)[0].flatten()))
    wanted = torch.cat(parts) + x[0, -1, 0]
    torch.testing.assert_close(found.flatten(), wanted, rtol=0, atol=1e-12)


def test_segments_divide_both() -> None:
    assert segment_length(0, 96, 96) == 24
    assert segment_length(0, 36, 12) == 12
    assert segment_length(0, 7, 3) == 1
    assert segment_length(48, 96, 96) == 48
    with pytest.raises(OptionError, match=r"segment is 10, which does not divide lookback \(96\)"):
        segment_length(10, 96, 100)
    with pytest.raises(OptionError, match=r"segment is 48, which does not divide horizon \(12\)"):
        segment_length(48, 96, 12)


def test_options_that_contradict_each_other() -> None:
    for options, sentence in (
        ({"strategy": "segrnn", "channels": "mixed"}, "reads each channel by itself"),
        ({"quantiles": (0.1, 0.9)}, "with 0.5 among them"),
        ({"quantiles": (0.9, 0.5, 0.1)}, "rising levels"),
        ({"teacher_forcing": 1.5}, "a share from 0 to 1"),
    ):
        with pytest.raises(OptionError, match=sentence):
            ForecasterOptions(**options)
    with pytest.raises(OptionError, match="goes forward only"):
        model("recursive", bidirectional=True)
    with pytest.raises(OptionError, match="last_hidden_size cannot be set with strategy 'seq2seq'"):
        model("seq2seq", num_layers=2, last_hidden_size=4)
    with pytest.raises(OptionError, match="bidirectional cannot be set with strategy 'segrnn'"):
        model("segrnn", bidirectional=True)


def test_direct_and_recursive_take_a_last_layer_of_another_width() -> None:
    for strategy in ("direct", "recursive"):
        assert model(strategy, num_layers=2, last_hidden_size=4)(window()).shape == (B, F, K, 1)
