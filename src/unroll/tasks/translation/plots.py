"""Plot where a decoder looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context

from unroll.training.plots import drawable, new_figure, save_figure, text_fonts

ALIGNMENT = "alignment.png"
_MOST_TOKENS = 30


def plot_alignments(answers: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the attention weights of up to four translations, a panel each: target tokens by source tokens.

    Args:
        answers: of `TranslationTask.translate` with `alignment`.
        path: the picture to write.

    Raises:
        RunError: the file cannot be written.
    """
    shown = [answer for answer in answers if "attention" in answer][:4]
    if not shown:
        return
    fonts = text_fonts()
    with rc_context({"font.family": fonts}):
        rows = (len(shown) + 1) // 2
        figure, axes = new_figure(min(2, len(shown)), width=6.5 * min(2, len(shown)), height=5.6 * rows, rows=rows)
        for at in axes[len(shown) :]:
            at.axis("off")
        for at, answer in zip(axes, shown, strict=False):
            source, target = (
                [_label(token, fonts) for token in answer[name][:_MOST_TOKENS]] for name in ("source_tokens", "tokens")
            )
            weights = np.array(answer["attention"])[: len(target), : len(source)]
            at.grid(visible=False)
            image = at.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            at.set_xticks(range(len(source)), source, rotation=60, ha="right", fontsize=8)
            at.set_yticks(range(len(target)), target, fontsize=8)
            at.set_xlabel("source")
            at.set_ylabel("written")
            if at is axes[0]:
                figure.colorbar(image, ax=axes, label="share of the attention", shrink=0.5)
        figure.suptitle("Where the decoder looked as it wrote each token (each line sums to 1)")
        save_figure(figure, path)


def _label(token: str, fonts: Sequence[str]) -> str:
    """The token without what matplotlib reads as mathematics; blanks and what no font has are made visible."""
    token = token.strip().replace("$", r"\$")
    return (token if drawable(token, fonts) else "?") if token else "␣"
