"""Plot learning curves, gradient norms and confusion matrices.

The colours are those of Okabe and Ito, which people with any colour vision can tell apart; each line also
has its own dash.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from unroll.atomic_write import write_whole

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
GREY = "#555555"
_MOST_LINES = 8
"""With more layers than this their gradients are a heat map."""
_MOST_CLASSES = 20
_MARKED = 50
"""With more epochs than this a line has no dots."""
_WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "Arial Unicode MS"),
)


def plot_curves(
    history: Sequence[Mapping[str, float]], path: Path, *, monitor: str = "loss", best_epoch: int = 0
) -> None:
    """Plot the loss and the monitored metric by epoch, with the best epoch marked.

    Args:
        history: `Outcome.history`.
        path: the picture to write.
        monitor: `Outcome.monitor`.
        best_epoch: `Outcome.best_epoch`.

    Raises:
        RunError: the file cannot be written.
    """
    epochs = [row["epoch"] for row in history]
    metric = f"valid_{monitor}"
    both = monitor != "loss" and any(metric in row for row in history)
    figure, axes = new_figure(2 if both else 1, width=9.0 if both else 5.5, height=3.8)
    for i, (name, label) in enumerate((("train_loss", "training"), ("valid_loss", "validation"))):
        if any(name in row for row in history):
            _line(axes[0], i, epochs, [row.get(name, math.nan) for row in history], label)
    axes[0].set_title("loss by epoch", loc="left")
    axes[0].set_ylabel("loss", color=GREY, fontsize=9)
    axes[0].legend(frameon=False)
    if both:
        _line(axes[1], 2, epochs, [row.get(metric, math.nan) for row in history], "validation")
        # the sentence about the best epoch stands at the right of the same line
        axes[1].set_title(monitor.replace("_", " "), loc="left", fontsize=min(12.0, 300.0 / max(1, len(monitor))))
        axes[1].set_ylabel("validation", color=GREY, fontsize=9)
    for at in axes:
        at.set_xlabel("epoch")
        at.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _widen(at)
        if best_epoch:
            at.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    if best_epoch:
        row = next((r for r in history if r["epoch"] == best_epoch), {})
        column, at = (metric, axes[1]) if both else ("valid_loss", axes[0])
        if column in row:
            at.plot([best_epoch], [row[column]], "o", color=GREY, markersize=8, fillstyle="none")
            at.set_title(f"best: {row[column]:.4g} in epoch {best_epoch}", loc="right", fontsize=9, color=GREY)
    save_figure(figure, path)


def plot_gradients(table: Mapping[str, Sequence[float]], path: Path, *, max_grad_norm: float = 0.0) -> None:
    """Plot the gradient norm by step, global (grey) and per layer, on a logarithmic scale; many layers as a heat map.

    Args:
        table: the columns of `gradients.csv`, as `read_table` gives them.
        path: the picture to write.
        max_grad_norm: drawn as a line unless 0.

    Raises:
        RunError: the file cannot be written.
    """
    layers = [name for name in table if name not in ("step", "all")]
    many = len(layers) > _MOST_LINES
    height = min(14.0, 3.6 + 0.28 * len(layers)) if many else 4.2
    figure, (at, *below) = new_figure(1, width=9.0, height=height, rows=2 if many else 1)
    steps = np.asarray(table["step"], dtype=float)

    def positive(values: Sequence[float]) -> np.ndarray:
        numbers = np.asarray(values, dtype=float)
        # zero has no place on a logarithmic scale: a gap says so better than an invented number
        return np.where(numbers > 0, numbers, np.nan)

    few = {"marker": "o", "markersize": 3.5} if len(steps) == 1 else {}
    at.plot(steps, positive(table["all"]), color="#BBBBBB", linewidth=2.5, label="all", zorder=1, **few)
    for i, name in enumerate(layers if not many else ()):
        style = _DASHES[(i // len(COLOURS) + i) % len(_DASHES)]
        at.plot(steps, positive(table[name]), color=COLOURS[i % 7], linestyle=style, linewidth=1.1, label=name, **few)
    if max_grad_norm:
        at.axhline(max_grad_norm, color=GREY, linewidth=0.8, linestyle=(0, (2, 3)))
        at.annotate("max_grad_norm", (1.0, max_grad_norm), (2, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize=8, color=GREY)  # fmt: skip
    if any(np.isfinite(positive(values)).any() for name, values in table.items() if name != "step"):
        at.set_yscale("log")
    at.set_title(f"norm of the gradient{' of all layers' if many else ''}, before clipping", loc="left")
    at.set_ylabel("norm")
    at.set_xlabel("step")
    at.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if many:
        _heat_map(figure, below[0], steps, layers, np.stack([positive(table[name]) for name in layers]))
    else:
        figure.legend(loc="outside right center", frameon=False, fontsize=9)
    save_figure(figure, path)


def _heat_map(figure: Figure, at: Axes, steps: np.ndarray, layers: Sequence[str], norms: np.ndarray) -> None:
    """Plot the gradient norms (layers, steps) as colours on a logarithmic scale; steps without a gradient are grey."""
    finite = norms[np.isfinite(norms)]
    low, high = (finite.min(), finite.max()) if finite.size else (1.0, 10.0)
    edges = np.append(steps, 2 * steps[-1] - steps[-2] if len(steps) > 1 else steps[-1] + 1)
    rows = np.arange(len(layers) + 1) - 0.5
    scale = LogNorm(low, max(high, 1.01 * low))
    image = at.pcolormesh(edges, rows, np.ma.masked_invalid(norms), norm=scale, cmap="viridis", rasterized=True)
    at.set_facecolor("#BBBBBB")
    at.set_yticks(range(len(layers)), layers, fontsize=9 if len(layers) <= 30 else 6)
    at.invert_yaxis()
    at.grid(visible=False)
    at.set_title("norm of the gradient of each layer, before clipping", loc="left")
    at.set_xlabel("step")
    at.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.colorbar(image, ax=at, label="norm")


def plot_confusion(
    matrix: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str], path: Path, *, part: str = ""
) -> None:
    """Plot the confusion matrix: true labels by row, predicted by column; coloured by the share of the row.

    Of more than 20 labels those with the most errors are shown.

    Args:
        matrix: (K, K) counts, rows are the true labels.
        names: K labels; one with a character that no installed font can draw appears as its number.
        path: the picture to write.
        part: of the data, for the title.

    Raises:
        RunError: the file cannot be written.
    """
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    title = f"true and predicted labels{f' of the {part} part' if part else ''}"
    numbers = np.arange(len(names))
    if len(names) > _MOST_CLASSES:
        wrong = counts - np.diag(np.diag(counts))
        numbers = np.sort(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:_MOST_CLASSES])
        title += f": the {_MOST_CLASSES} of {len(names):,} with the most errors"
    counts, shares, names = (
        counts[numbers][:, numbers],
        shares[numbers][:, numbers],
        [names[i] for i in numbers.tolist()],
    )
    k = len(names)
    size = min(14.0, 2.6 + 0.55 * k)
    figure, (at,) = new_figure(1, width=size + 0.8, height=size)
    image = at.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(image, ax=at, label="share of the true label", shrink=0.8)
    fonts = text_fonts()
    short = [name if len(name) <= 20 else name[:19] + "…" for name in names]
    short = [name if drawable(name, fonts) else f"no. {i + 1}" for i, name in zip(numbers, short, strict=True)]
    long = any(len(name) > 3 for name in short)
    at.set_xticks(range(k), short, fontsize=9, rotation=45 if long else 0,
                  ha="right" if long else "center", rotation_mode="anchor" if long else None)  # fmt: skip
    at.set_yticks(range(k), short, fontsize=9)
    # over the axes and the colour bar, as a long title does not fit a small matrix
    figure.suptitle(title, x=0.01, ha="left", fontsize=min(12.0, 96.0 * (size + 0.6) / len(title)))
    for label in (*at.get_xticklabels(), *at.get_yticklabels()):
        label.set_fontfamily(fonts)
    at.set_xlabel("predicted")
    at.set_ylabel("true")
    at.spines[:].set_visible(False)
    at.grid(visible=False)
    for (i, j), n in np.ndenumerate(counts):
        colour = "white" if shares[i, j] > 0.55 else "black" if n else "#AAAAAA"
        at.text(j, i, f"{n:d}", ha="center", va="center", color=colour, fontsize=9)
    save_figure(figure, path)


@functools.cache
def text_fonts() -> list[str]:
    """List Matplotlib's own font, then the installed fonts for Chinese, Japanese and Korean."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed)]


def drawable(text: str, fonts: Sequence[str]) -> bool:
    """Whether these fonts can draw every character of a text."""
    faces = [font_manager.get_font(font_manager.findfont(name)) for name in fonts]
    return all(any(face.get_char_index(ord(c)) for face in faces) for c in text)


def new_figure(columns: int, *, width: float, height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a figure of `width` by `height` inches with a grid of panels."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]
    for at in axes:
        at.spines[["top", "right"]].set_visible(False)
        at.grid(color="#E6E6E6", linewidth=0.6)
        at.set_axisbelow(True)
    return figure, axes


def _line(at: Axes, i: int, xs: Sequence[float], ys: Sequence[float], label: str) -> None:
    marker = "o" if len(xs) <= _MARKED else ""
    at.plot(xs, ys, color=COLOURS[i], linestyle=_DASHES[i], marker=marker, markersize=3.5, linewidth=1.6, label=label)


def _widen(at: Axes) -> None:
    """Use a logarithmic y axis for positive values that span more than a factor of 10, as a perplexity does."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in at.lines])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 10 and values.max() > 10 * values.min():
        at.set_yscale("log")
        at.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        at.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        at.yaxis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file.

    Raises:
        RunError: the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_whole(Path(path), content.getvalue())
