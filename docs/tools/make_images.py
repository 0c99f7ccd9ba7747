"""Make the pictures of the READMEs and the site, with the package's own plots.

    python docs/tools/make_images.py        # a minute; writes docs/images/*.png

forecast.png, curves.png  what `unroll demo` leaves: the last year of the airline passengers, and the digits' training
gates.png                 the trace of an LSTM that adds the two marked numbers of a sequence
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

import unroll
from unroll.commands import demo
from unroll.training.plots import COLOURS, new_figure, save_figure

IMAGES = Path(__file__).resolve().parents[1] / "images"
WIDTH = 1200  # pixels


def shrink(source: Path, name: str) -> None:
    """Write a picture to docs/images with at most 128 colours, which is under 60 kB."""
    picture = Image.open(source).convert("RGB")
    height = round(picture.height * WIDTH / picture.width)
    resized = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    resized.quantize(128).save(IMAGES / name, optimize=True)


def adding(rows: int, steps: int) -> tuple[Tensor, Tensor]:
    """Make sequences (B, T, 2) of numbers and marks, two of them marked, and their sums (B, 1)."""
    values, marks = torch.rand(rows, steps), torch.zeros(rows, steps)
    half = steps // 2
    for low, high in ((2, half), (half, steps - 2)):
        marks[torch.arange(rows), torch.randint(low, high, (rows,))] = 1.0
    return torch.stack([values, marks], -1), (values * marks).sum(1, keepdim=True)


def train_adder(steps: int) -> unroll.LSTM:
    """Train an LSTM of 8 units and a linear head on sequences of `steps` steps."""
    torch.manual_seed(0)
    lstm, head = unroll.LSTM(2, 8, batch_first=True, init="orthogonal", forget_bias=2.0), nn.Linear(8, 1)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(2000):
        x, target = adding(64, steps)
        _, (h, _) = lstm(x)
        loss = nn.functional.mse_loss(head(h[-1]), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    print(f"adding: mean squared error {loss.item():.2g}")
    return lstm


def draw_gates(path: Path, steps: int = 40) -> None:
    """Draw the input gate and the state h of every unit while the LSTM reads one sequence."""
    lstm = train_adder(steps)
    torch.manual_seed(7)
    x, _ = adding(1, steps)
    with torch.no_grad():
        part = lstm.trace(x).parts[0]
    gate, state = part.gates["i"][0].T, part.states["h"][0].T  # (H, T)
    at = [int(t) for t in x[0, :, 1].nonzero().flatten()]
    figure, (top, middle, bottom) = new_figure(1, width=9.0, height=5.0, rows=3)
    top.bar(range(steps), x[0, :, 0], color=[COLOURS[1] if t in at else "#BBBBBB" for t in range(steps)], width=0.8)
    top.set_title("input: the two coloured numbers are marked", loc="left", fontsize=10)
    for axes, values, title, low in ((middle, gate, "input gate i", 0.0), (bottom, state, "state h", -1.0)):
        picture = axes.imshow(values, aspect="auto", cmap="PuOr" if low else "Blues", vmin=low, vmax=1.0)
        axes.set_title(f"{title}, 8 units", loc="left", fontsize=10)
        axes.set_ylabel("unit")
        axes.grid(visible=False)
        figure.colorbar(picture, ax=axes, fraction=0.02, pad=0.01)
    figure.colorbar(picture, ax=top, fraction=0.02, pad=0.01).ax.set_visible(False)  # the same width as below
    for axes in (top, middle, bottom):
        axes.set_xlim(-0.5, steps - 0.5)
        for t in at:
            axes.axvline(t, color=COLOURS[1], linewidth=1.0, linestyle=":")
    bottom.set_xlabel("step")
    save_figure(figure, path)


def main() -> None:
    """Run the demo, train the adder, and write the pictures."""
    torch.set_num_threads(1)
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        demo.main(["--out", str(run)])
        shrink(run.with_name("run-forecast") / "forecast.png", "forecast.png")
        shrink(run / "curves.png", "curves.png")
        draw_gates(run / "gates.png")
        shrink(run / "gates.png", "gates.png")


if __name__ == "__main__":
    main()
