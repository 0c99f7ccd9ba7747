"""`unroll generate`: generate text from a language model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from unroll.commands.arguments import Parser
from unroll.errors import DataError, OptionError
from unroll.generation.options import GenerationOptions
from unroll.options import build


def main(arguments: Sequence[str]) -> int:
    """Print the prompt and the generated text, piece by piece."""
    parser = Parser(
        "unroll generate",
        "unroll generate RUN [--prompt TEXT] [options]",
        "Text that a language model writes: the prompt, and what follows it as it is made.",
    )
    parser.add_run("The run folder of a language model.")
    parser.add_argument(
        "--prompt", default="", metavar="TEXT", help="What the text begins with; - reads it from standard input."
    )
    parser.add_argument(
        "--stop", nargs="+", metavar="TEXT", help="End the text before any of these, wherever it comes up."
    )
    parser.add_options([GenerationOptions])
    given = parser.read(arguments)
    (options,) = build([GenerationOptions], {f.name: given[f.name] for f in fields(GenerationOptions)})
    stop = given.stop or []
    if "" in stop:
        raise OptionError("a text to stop at is empty; it would stop every text before it begins")
    prompt = _standard_input() if given.prompt == "-" else given.prompt

    from unroll.serving.language_model import LanguagePredictor
    from unroll.serving.predictor import load

    predictor = load(given.run, trust_changed=given.trust_changed)
    if not isinstance(predictor, LanguagePredictor):
        raise OptionError(f"{given.run} holds a {predictor.task.name} run; text is written by a language-model run")
    try:
        (_search if options.beam else _draw)(predictor, prompt, options, stop)
    except KeyboardInterrupt:
        print(flush=True)
        return 130
    return 0


def _draw(predictor: Any, prompt: str, options: GenerationOptions, stop: Sequence[str]) -> None:
    first = options.seed or 0
    for seed in range(first, first + options.count):
        pieces = predictor.generate(
            prompt,
            length=options.length,
            temperature=1.0 if options.temperature is None else options.temperature,
            top_k=options.top_k or 0,
            top_p=1.0 if options.top_p is None else options.top_p,
            seed=seed,
            stop=stop,
            echo=True,
        )
        if options.count > 1:
            print(f"--- seed {seed}")
        end = ""
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
            end = piece
        if not end.endswith("\n"):
            print(flush=True)


def _search(predictor: Any, prompt: str, options: GenerationOptions, stop: Sequence[str]) -> None:
    found = predictor.search(
        prompt,
        length=options.length,
        width=options.beam,
        length_penalty=options.length_penalty or 0.0,
        stop=stop,
        echo=True,
    )
    for best in found[: options.count]:
        if options.count > 1:
            print(f"--- score {best.score:.6f}")
        print(best.text.removesuffix("\n"))


def _standard_input() -> str:
    """Read all of standard input, without the last line's end."""
    try:
        text = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"the prompt on standard input is not UTF-8: {error.reason} at byte {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")
