"""Answers on standard output."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable
from typing import Any


def json_text(answer: Any, indent: int | None = None) -> str:
    """Write an answer as JSON that standard output can take, whatever its encoding.

    Half a character (a lone surrogate) is always escaped, and all but ASCII where the output is not UTF-8.
    """
    text = json.dumps(answer, ensure_ascii=not _writes_utf8(), indent=indent)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_answers(answers: Iterable[Any], *, live: bool) -> None:
    """Print one JSON object a line; with `live` each is there before the next is asked for.

    What was answered before an error is printed before it.
    """
    try:
        for answer in answers:
            print(json_text(answer), flush=live)
    finally:
        sys.stdout.flush()


def _writes_utf8() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "utf-8").name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False
