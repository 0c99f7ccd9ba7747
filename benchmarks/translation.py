"""An encoder-decoder of ours and the same in plain PyTorch, in turns on the very same sentences.

    python benchmarks/translation.py train   # steps of training on Multi30k
    python benchmarks/translation.py search  # translating: beam 5 in batches of 64, and one sentence at a time

The other side is what a good tutorial writes: `nn.GRU` over packed rows, `nn.GRU` over all target steps, additive
attention, `F.cross_entropy` with label smoothing, Adam, clipping; and a beam search over batches, all of whose steps
are matrix products of PyTorch, which ends when every sentence of the batch has. Both sides have the same weights, so
they must have the same losses and find the same translations; this is checked. Times are taken in turns in one process:
given are the ratios of theirs to ours, median and quartiles.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from environment import ISAS, ROOT, about, default_out, hold_to
from unroll.data.options import TextOptions
from unroll.data.text.tokenizer import TextTokenizer
from unroll.generation.beam import beam_search
from unroll.generation.options import SearchOptions
from unroll.models.options import DecoderOptions, RecurrentOptions, TokenOptions
from unroll.models.seq2seq import Seq2Seq, build_seq2seq
from unroll.ops.denormals import flush_subnormals

Pair = tuple[Tensor, Tensor]


class Plain(nn.Module):
    """The same model in plain PyTorch, with the weights of ours."""

    def __init__(self, ours: Seq2Seq) -> None:
        super().__init__()
        state = ours.state_dict()
        vocabulary, dim = state["inputs.embedding.weight"].shape
        hidden = state["decoder.recurrent.weight_hh_l0"].shape[1]
        self.embedding = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.encoder = nn.GRU(dim, hidden, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.decoder = nn.GRU(dim, hidden, batch_first=True)
        self.query = nn.Linear(hidden, hidden)
        self.memory = nn.Linear(2 * hidden, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)
        self.combine = nn.Linear(3 * hidden, dim)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        parts: dict[str, nn.Module] = {
            "inputs.embedding": self.embedding,
            "encoder.recurrent": self.encoder,
            "bridge.maps.0": self.bridge,
            "decoder.recurrent": self.decoder,
            "decoder.attention.queries": self.query,
            "decoder.attention.memories": self.memory,
            "decoder.attention.values": self.v,
            "decoder.combine": self.combine,
        }
        for prefix, part in parts.items():
            names = (name for name in state if name.startswith(f"{prefix}."))
            part.load_state_dict({name.removeprefix(f"{prefix}."): state[name] for name in names})
        self.bias.data.copy_(state["head.bias"])

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Memory (B, S, 2H), keys, padding mask (B, S) and the decoder's state (1, B, H)."""
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        packed, h = self.encoder(packed)
        memory, _ = pad_packed_sequence(packed, batch_first=True)
        h = self.bridge(h.transpose(0, 1).flatten(1)).unsqueeze(0)
        return memory, self.memory(memory), x == 0, h

    def attend(self, s: Tensor, memory: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """The combined output (B, U, E)."""
        scores = self.v(torch.tanh(self.query(s).unsqueeze(2) + keys.unsqueeze(1))).squeeze(3)
        weights = scores.masked_fill(mask.unsqueeze(1), float("-inf")).softmax(2)
        return torch.tanh(self.combine(torch.cat([s, weights @ memory], 2)))

    def forward(self, x: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """The logits at every step of the target."""
        memory, keys, mask, h = self.encode(x, lengths)
        s, _ = self.decoder(self.embedding(functional.pad(target[:, :-1], (1, 0))), h)
        return functional.linear(self.attend(s, memory, keys, mask), self.embedding.weight, self.bias)

    @torch.inference_mode()
    def search(self, x: Tensor, lengths: Tensor, width: int, most: int) -> list[list[int]]:
        """Beam search with GNMT's length penalty of 1, over a batch."""
        memory, keys, mask, h = self.encode(x, lengths)
        B, V = len(x), len(self.bias)
        memory, keys, mask = (t.repeat_interleave(width, 0) for t in (memory, keys, mask))
        h = h.repeat_interleave(width, 1)
        scores = torch.full((B, width), -torch.inf)
        scores[:, 0] = 0.0
        ids, texts = torch.zeros(B * width, dtype=torch.int64), torch.zeros(B * width, 0, dtype=torch.int64)
        best: list[list[tuple[float, list[int]]]] = [[] for _ in range(B)]
        for n in range(1, most + 1):
            s, h = self.decoder(self.embedding(ids.unsqueeze(1)), h)
            o = self.attend(s, memory, keys, mask).squeeze(1)
            log_p = functional.linear(o, self.embedding.weight, self.bias).log_softmax(1)
            log_p[:, :2] = -torch.inf
            every = (scores.unsqueeze(2) + log_p.view(B, width, V)).view(B, -1)
            top, place = every.topk(2 * width, 1)
            scores = torch.full((B, width), -torch.inf)
            rows = torch.zeros(B, width, dtype=torch.int64)
            ids = torch.zeros(B, width, dtype=torch.int64)
            for b in range(B):
                kept = 0
                for i, (total, at) in enumerate(zip(top[b].tolist(), place[b].tolist(), strict=True)):
                    row, token = divmod(at, V)
                    if token == V - 1:
                        if i < width:
                            score = total / ((5 + n) / 6)
                            best[b].append((score, texts[b * width + row].tolist()))
                    elif kept < width:
                        scores[b, kept], rows[b, kept], ids[b, kept] = total, b * width + row, token
                        kept += 1
            rows, ids = rows.view(-1), ids.view(-1)
            texts = torch.cat([texts[rows], ids.unsqueeze(1)], 1)
            h = h[:, rows]
            bound = scores.max(1).values / ((5 + most) / 6)
            if all(found and max(found)[0] >= float(bound[b]) for b, found in enumerate(best)):
                break
        return [max(found)[1] if found else texts[b * width].tolist() for b, found in enumerate(best)]


def read(folder: Path, name: str) -> list[str]:
    """The lines of a part."""
    import gzip

    return gzip.decompress((folder / f"{name}.gz").read_bytes()).decode().splitlines()


def padded(rows: list[np.ndarray]) -> Pair:
    """Ids (B, T) and lengths."""
    lengths = torch.tensor([len(row) for row in rows])
    x = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        x[i, : len(row)] = torch.from_numpy(row)
    return x, lengths


def in_turns(sides: dict[str, Callable[[int], Any]], rounds: int) -> dict[str, list[float]]:
    """The times of each side's call number i, in turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds):
        order = list(sides.items())
        for name, run in order if i % 2 else reversed(order):
            begin = time.perf_counter()
            run(i)
            times[name].append(time.perf_counter() - begin)
    return times


def ratio(times: dict[str, list[float]]) -> dict[str, float]:
    """How many times longer theirs takes: of all together, and the quartiles of single calls."""
    each = sorted(a / b for a, b in zip(times["torch"], times["unroll"], strict=True))
    lower, middle, upper = statistics.quantiles(each, n=4)
    total = sum(times["torch"]) / sum(times["unroll"])
    return {"total": round(total, 2), "median": round(middle, 2), "lower": round(lower, 2), "upper": round(upper, 2)}


def train(model: Seq2Seq, pairs: list[tuple[Pair, Pair]], rounds: int, warmup: int) -> dict[str, Any]:
    """Steps of both sides on the same batches."""
    plain, V = Plain(model), model.vocabulary
    optimizers = {name: torch.optim.Adam(m.parameters(), fused=True) for name, m in (("u", model), ("t", plain))}
    losses: dict[str, list[float]] = {"u": [], "t": []}

    def step(name: str, loss: Tensor, side: nn.Module) -> None:
        optimizers[name].zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(side.parameters(), 1.0)
        optimizers[name].step()
        losses[name].append(loss.item())

    def ours(i: int) -> None:
        (x, lengths), (y, target_lengths) = pairs[i % len(pairs)]
        loss = model.losses(model(x, lengths, y, target_lengths), y, 0.1)[1]
        step("u", loss.sum() / target_lengths.sum(), model)

    def theirs(i: int) -> None:
        (x, lengths), (y, _) = pairs[i % len(pairs)]
        logits = plain(x, lengths, y)
        loss = functional.cross_entropy(logits.view(-1, V), y.view(-1), ignore_index=0, label_smoothing=0.1)
        step("t", loss, plain)

    sides = {"unroll": ours, "torch": theirs}
    model.train(), plain.train()
    in_turns(sides, warmup)
    times = in_turns(sides, rounds)
    apart = max(abs(a - b) for a, b in zip(losses["u"][:warmup], losses["t"][:warmup], strict=True))
    return {"ratio": ratio(times), "rounds": rounds, "losses_apart": apart}


def search(model: Seq2Seq, sources: list[np.ndarray], rounds: int, size: int, width: int = 5) -> dict[str, Any]:
    """Searches of both sides for the same sentences."""
    plain, most = Plain(model).eval(), 60
    model.eval()
    batches = [padded(sources[i : i + size]) for i in range(0, len(sources), size)]
    options = SearchOptions(beam=width, length_penalty=1.0, max_new_tokens=most)
    found: dict[str, list[list[int]]] = {"u": [], "t": []}

    @torch.inference_mode()
    def ours(i: int) -> None:
        x, lengths = batches[i % len(batches)]
        log_p, state = model.step(torch.zeros(len(x), dtype=torch.int64), model.encode(x, lengths))
        texts = beam_search(model, log_p, state, options, end=model.end)
        found["u"] += [list(best[0].ids) for best in texts]

    def theirs(i: int) -> None:
        found["t"] += plain.search(*batches[i % len(batches)], width, most)

    sides = {"unroll": ours, "torch": theirs}
    in_turns(sides, 2)
    found["u"], found["t"] = [], []
    times = in_turns(sides, min(rounds, len(batches)))
    same = sum(a == b for a, b in zip(found["u"], found["t"], strict=True))
    seconds = {name: round(sum(t), 2) for name, t in times.items()}
    return {"ratio": ratio(times), "batch": size, "beam": width, "same": f"{same} of {len(found['u'])}", **seconds}


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "search"])
    parser.add_argument("--data", default=str(ROOT.parent / "shared" / "data" / "multi30k"))
    parser.add_argument("--weights", help="weights of a trained model, of the sizes here (search)")
    parser.add_argument("--vocab-size", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--isa", choices=ISAS)
    parser.add_argument("--out")
    given = parser.parse_args()
    hold_to(given.isa)
    torch.set_num_threads(given.threads)
    flush_subnormals()
    torch.manual_seed(0)
    folder = Path(given.data)
    english, german = read(folder, "train.en"), read(folder, "train.de")
    text = TextOptions(level="bpe", vocab_size=given.vocab_size, normalize="NFC", html=False)
    tokenizer = TextTokenizer.learn([*english, *german], text)
    V = tokenizer.size + 1
    model = build_seq2seq(
        TokenOptions(embedding_dim=128),
        RecurrentOptions(recurrence="gru", hidden_size=256, bidirectional=True),
        DecoderOptions(),
        source_vocabulary=V,
        vocabulary=V,
        share_embedding=True,
    )

    def encoded(lines: list[str]) -> list[np.ndarray]:
        return [np.append(ids, V - 1).astype(np.int64) for ids in tokenizer.encode(lines)]

    result: dict[str, Any] = about(" ".join(["python", "benchmarks/translation.py", *sys.argv[1:]]))
    if given.what == "train":
        sources, targets = encoded(english), encoded(german)
        order = np.argsort([len(s) for s in sources], kind="stable")
        blocks = np.array_split(order, len(order) // 64)
        chosen = np.random.default_rng(0).permutation(len(blocks))[: given.rounds]
        pairs = [
            (padded([sources[i] for i in blocks[b]]), padded([targets[i] for i in blocks[b]])) for b in chosen.tolist()
        ]
        result["train"] = train(model, pairs, given.rounds, 5)
    else:
        if given.weights:
            model.load_state_dict(torch.load(given.weights, weights_only=True))
        sources = encoded(read(folder, "test_2016_flickr.en"))
        result["batches"] = search(model, sources, given.rounds, 64)
        result["one_by_one"] = search(model, sources[: 4 * given.rounds], 4 * given.rounds, 1)
    print(json.dumps(result, indent=1))
    if given.out or given.what:
        Path(given.out or default_out(f"translation_{given.what}")).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
