"""Write results to standard output, as JSON, CSV or CoNLL columns."""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from unroll.errors import OptionError


def json_text(answer: Any, indent: int | None = None) -> str:
    """Format a result as JSON that standard output can encode.

    Lone surrogates are always escaped, and all non-ASCII characters if the output is not UTF-8.
    """
    text = json.dumps(answer, ensure_ascii=not _writes_utf8(), indent=indent)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_answers(
    answers: Iterable[Mapping[str, Any]], *, live: bool, form: str = "jsonl", errors: bool = False
) -> None:
    """Print one JSON object per line, a CSV table, or CoNLL columns.

    With `live` each is flushed before the next is computed. Results computed before an error are printed before it.
    The columns of a CSV table are those of the first answer; a mapping such as `probabilities` has a column for each of
    its names, `probabilities.NAME`. With `errors` there is a column `error` for rows that cannot be used.
    """
    table: csv.DictWriter[str] | None = None
    try:
        for answer in answers:
            if form != "csv":
                print(json_text(answer) if form == "jsonl" else _columns(answer), flush=live)
                continue
            flat = _flat(answer)
            if table is None:
                table = csv.DictWriter(
                    sys.stdout, [*flat, *(["error"] if errors and "error" not in flat else [])], lineterminator="\n"
                )
                table.writeheader()
            elif new := [name for name in flat if name not in table.fieldnames]:
                # an unusable row came first, or the answers differ: a table has one set of columns
                raise OptionError(f"the answers have no common columns ('{new[0]}' is new); take --format jsonl")
            table.writerow(flat)
            if live:
                sys.stdout.flush()
    finally:
        sys.stdout.flush()


def most_likely(answers: Iterable[dict[str, Any]], top: int) -> Iterator[dict[str, Any]]:
    """Keep the `top` most likely labels of each answer's probabilities, the likeliest first.

    Raises:
        OptionError: the answers have no probabilities.
    """
    for answer in answers:
        if "probabilities" not in answer and "error" not in answer:
            raise OptionError("--top keeps the likeliest labels, and this run's answers have no probabilities")
        if "probabilities" in answer:
            ordered = sorted(answer["probabilities"].items(), key=lambda pair: -pair[1])
            answer = {**answer, "probabilities": dict(ordered[:top])}
        yield answer


def _columns(answer: Mapping[str, Any]) -> str:
    """Format a tagged sentence as lines of a token, a tab and a tag, and an empty line.

    Raises:
        OptionError: the answer has no tags, or a token holds a tab or a line end.
    """
    if "error" in answer:
        return f"# error: {answer['error']}\n"
    if "tokens" not in answer or "tags" not in answer:
        raise OptionError("--format conll writes tokens with their tags, which this run does not answer with")
    odd = next((token for token in answer["tokens"] if not token.strip() or re.search(r"[\t\r\n]", token)), None)
    if odd is not None:
        raise OptionError(f"the token {odd!r:.40} cannot be written as a CoNLL column; take --format jsonl")
    rows = zip(answer["tokens"], answer["tags"], strict=True)
    return "".join(f"{token}\t{tag}\n" for token, tag in rows)


def _flat(answer: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in answer.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": number for key, number in value.items()}
        else:
            flat[name] = json_text(value) if isinstance(value, (list, tuple, bool)) else value
    return flat


def stopped(run: str) -> str:
    """Say what can be done with a training that was stopped."""
    return f"unroll: go on with `unroll resume {run}`, or keep its best weights with `unroll finish {run}`"


def _writes_utf8() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "utf-8").name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False
