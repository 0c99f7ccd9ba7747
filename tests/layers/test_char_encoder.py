from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unroll.layers.char_encoder import CharacterConvolution, CharacterRecurrence

CHARS = torch.tensor([[3, 4, 5, 6, 2], [0, 0, 0, 0, 0], [7, 0, 0, 0, 0], [2, 2, 3, 0, 0]])
BOTH = [
    pytest.param(lambda **given: CharacterRecurrence(9, 4, 3, **given), id="recurrence"),
    pytest.param(lambda **given: CharacterConvolution(9, 4, 6, **given), id="convolution"),
]


def test_the_recurrence_gives_both_final_states_of_torchs_lstm(close) -> None:
    encoder = CharacterRecurrence(9, 4, 3).double()
    twin = nn.LSTM(4, 3, batch_first=True, bidirectional=True).double()
    twin.load_state_dict(encoder.recurrent.state_dict())
    found = encoder(CHARS)
    for i, chars in enumerate(CHARS):
        n = int((chars != 0).sum())
        if not n:
            close(found[i].detach(), torch.zeros(6, dtype=torch.float64))
            continue
        _, (h, _) = twin(encoder.embedding(chars[:n]).unsqueeze(0))
        close(found[i].detach(), torch.cat([h[0, 0], h[1, 0]]).detach())


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_the_convolution_is_its_definition(close, kernel: int) -> None:
    encoder = CharacterConvolution(9, 4, 6, kernel).double()
    weight, bias = encoder.conv.convs[0].weight, encoder.conv.convs[0].bias
    found = encoder(CHARS)

    def window(chars: Tensor, t: int) -> Tensor:
        inside = range(len(chars))
        steps = range(t - (kernel - 1) // 2, t + kernel // 2 + 1)
        return torch.stack(
            [encoder.embedding(chars[s]) if s in inside else torch.zeros(4, dtype=torch.float64) for s in steps], 1
        )

    for i, chars in enumerate(CHARS):
        own = chars[chars != 0]
        wanted = torch.zeros(6, dtype=torch.float64)
        if len(own):
            steps = [torch.tanh((weight * window(own, t)).sum((1, 2)) + bias) for t in range(len(own))]
            wanted = torch.stack(steps).amax(0)
        close(found[i].detach(), wanted.detach())


@pytest.mark.parametrize("make", BOTH)
def test_a_token_is_the_same_in_any_company(make) -> None:
    encoder = make().double().eval()
    whole = encoder(CHARS)
    assert whole.shape == (4, encoder.features)
    for i, chars in enumerate(CHARS):
        n = max(1, int((chars != 0).sum()))
        torch.testing.assert_close(encoder(chars[:n].unsqueeze(0))[0], whole[i], rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", BOTH)
def test_padding_is_never_learnt_and_dropout_is_for_training(make) -> None:
    encoder = make(dropout=0.5)
    encoder(CHARS).sum().backward()
    assert not encoder.embedding.weight.grad[0].any()
    assert not torch.equal(encoder(CHARS), encoder(CHARS))
    encoder.eval()
    assert torch.equal(encoder(CHARS), encoder(CHARS))
