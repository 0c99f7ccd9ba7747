"""Choose the tagging scheme of the data, and report sentences and tags that do not fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unroll.data.text.bio import breach, mark_spans, marks_span
from unroll.data.text.scheme_detection import NEARLY_ALL, Fit, scheme_fits
from unroll.data.text.scheme_names import SCHEMES, Scheme
from unroll.data.text.tag_notation import notation_of
from unroll.tasks.base import Log
from unroll.tasks.tagging.options import TaggingOptions
from unroll.tasks.tagging.records import Sentences


def settle_scheme(options: TaggingOptions, main: Sentences, held: Sentences | None, say: Log) -> Scheme | None:
    """Choose the scheme of the training and validation data.

    It is the given one, or with `auto` the one that nearly all sentences with spans follow; None where tags mark no
    spans, or follow no scheme.

    Args:
        options: the given scheme, or the one that spans were converted to.
        main: the training data.
        held: the validation data, if it is not a part of these.
        say: called with notes on sentences that do not fit, and on tags that nearly mark spans.
    """
    named = options.convert or options.scheme
    if named == "none":
        return None
    if not mark_spans(main.names):
        _tell_of_tags(main, say)
        return None
    for scheme in SCHEMES:
        if named == scheme:
            return scheme
    parts = [main] if held is None else [main, held]
    # Tags not in the training data come last in `held`; sentences with them are ignored.
    fits = scheme_fits(main.names, [tags for part in parts for tags in part.tags])
    best = fits[0]
    if best.kept == best.of:
        return best.scheme
    exception = f"{_name_row(parts, best.first)} ({_first_breach(parts, best)})"
    if best.chosen:
        wrong = best.of - best.kept
        say(
            f"{main.where}: tags are in the scheme {best.scheme}, but for {wrong:,} of {best.of:,} sentences with"
            f" spans, the first in {exception}; decoder crf does not learn from {'these' if wrong > 1 else 'this one'};"
            f" --convert {best.scheme} writes their spans in the scheme"
        )
        return best.scheme
    second = fits[1]
    say(
        f"{main.where}: tags mark spans, but fewer than {NEARLY_ALL:.0%} of the {best.of:,} sentences with spans keep"
        f" to one scheme, so any sequence is allowed: {best.share:.1%} keep to {best.scheme}, {second.share:.1%} to"
        f" {second.scheme}; the first that is not in {best.scheme} is {exception}; --convert {best.scheme} writes all"
        " in one scheme"
    )
    return None


def _first_breach(parts: Sequence[Sentences], fit: Fit) -> str:
    part, position = _placed(parts, fit.first)
    return breach([part.names[i] for i in part.tags[position].tolist()], fit.scheme)


def _name_row(parts: Sequence[Sentences], position: int) -> str:
    part, at = _placed(parts, position)
    return f"row {int(part.rows[at]) + 1}" + ("" if part is parts[0] else f" of {part.where}")


def _placed(parts: Sequence[Sentences], position: int) -> tuple[Sentences, int]:
    """Convert a sentence's position over all parts to its part and the position in it."""
    first = len(parts[0])
    return (parts[0], position) if position < first else (parts[1], position - first)


def _tell_of_tags(main: Sentences, say: Log) -> None:
    """Note tags that mark no spans but look as if they should: in another notation, all but a few, or as numbers."""
    as_they_are = "so they are taken as they are, without figures for spans"
    if all(name.isascii() and name.isdigit() for name in main.names):
        say(
            f"{main.where}: the tags are the numbers {main.names[0]}, {main.names[1]}, ..., and the data does not say"
            f" what they stand for, {as_they_are}"
        )
        return
    notation = notation_of(main.names)
    if notation is not None:
        example = next(name for name in sorted(main.names) if notation.standard(name) != name)
        say(
            f"{main.where}: tags such as '{example:.40}' look like spans but are not written"
            f" '{notation.standard(example):.40}', {as_they_are}; --convert BIO writes them so"
        )
        return
    strays = np.array([not marks_span(name) for name in main.names])
    if not mark_spans([name for name, stray in zip(main.names, strays, strict=True) if not stray]):
        return
    wrong = [i for i, tags in enumerate(main.tags) if strays[tags].any()]
    if len(wrong) <= (1 - NEARLY_ALL) * len(main):
        tags = main.tags[wrong[0]]
        place = int(strays[tags].argmax())
        say(
            f"{main.where}: all tags would mark spans but for those of {len(wrong):,} of {len(main):,} sentences, the"
            f" first '{main.names[int(tags[place])]:.40}' at token {place + 1} of {_name_row([main], wrong[0])},"
            f" {as_they_are}; --scheme BIO --skip-bad-rows leaves those sentences out"
        )
