"""Tables of text cells and of JSON values, written in many ways and then perhaps damaged; what is read is compared."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.mutations import ODD, change_bytes, change_json, change_lines, flip_one, truncate
from fuzzing.oracle import Finding, Outcome, attempt

_NAMES = ("text", "label", "price, EUR", "größe", "名前", "a b", "x", "y", "Date", "id", "n'", "v1", "50%", "_", "T")
_WORDS = (
    "good", "bad", "a, b", "x; y", 'say "no"', "1,5", "58,668.6", "-3", "2024-01-02", "NA", "null", "", " ",
    "it's", "|",
    "é", "中文", "😀", "line\nbreak", "0", "1e5", "\u2212 4", "a\xa0b", "<br>", "#", "'", "C:\\x", "TRUE", "=1+1",
)  # fmt: skip
Row = dict[str, Any]


def damaged_csv(random: Random, folder: Path) -> bool:
    """A table as CSV or TSV, sound or with one byte changed, or damaged further; True where it was read."""
    names = random.sample(_NAMES, random.randint(2, 5))
    delimiter = random.choice((",", ",", ";", "\t", "|"))
    suffix = ".tsv" if delimiter == "\t" and random.random() < 0.5 else ".csv"
    rows = [{name: _cell(random) for name in names} for _ in range(random.randint(1, 40))]
    if delimiter == "\t":  # which is read without quoting where that is doubtful
        rows = [{name: cell.replace("\n", " ") for name, cell in row.items()} for row in rows]
    # a row of nothing but empty cells can be written as a blank line, which is none
    rows = [row if any(cell.strip() for cell in row.values()) else row | {names[0]: "x"} for row in rows]
    encoding = random.choice(("utf-8", "utf-8", "utf-8", "utf-16", "gb18030"))
    text = _written(random, names, rows, delimiter)
    sound = (b"\xef\xbb\xbf" if encoding == "utf-8" and random.random() < 0.2 else b"") + text.encode(encoding)
    content, damage = _perhaps(random, sound)
    packing = random.choice(("", "", "", "", ".gz", ".xz"))
    path = folder / f"table{suffix}{packing}"
    path.write_bytes(_packed(content, packing))
    notes: list[str] = []
    outcome = attempt(lambda: _read(path, encoding, notes))
    # a quote fewer may be why the others are text, which is said
    said = damage == "byte" and delimiter == "\t" and any("quotes are taken as text" in note for note in notes)
    if damage in ("none", "byte") and not said:
        hold(outcome, rows, changed=int(damage == "byte"), shown=content)
    same_streamed(random, path, outcome, encoding)
    return outcome.answered


def _cell(random: Random) -> str:
    if random.random() < 0.5:
        return f"{random.gauss(0, 100):.2f}"
    return " ".join(random.choice(_WORDS) for _ in range(random.randint(1, 3)))


def _written(random: Random, names: Sequence[str], rows: Sequence[Row], delimiter: str) -> str:
    end = random.choice(("\n", "\n", "\r\n"))
    out = io.StringIO()
    quoting = random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.DictWriter(out, names, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    text = out.getvalue()
    if random.random() < 0.1:
        text = text.removesuffix(end)
    return text + end * random.randint(0, 2) if random.random() < 0.1 else text


def _perhaps(random: Random, sound: bytes) -> tuple[bytes, str]:
    """The content, and how it is damaged: none, one byte, or in any way."""
    way = random.random()
    if way < 0.35:
        return sound, "none"
    if way < 0.7:
        changed = flip_one(random, sound)
        return changed, "none" if changed == sound else "byte"
    return random.choice((change_bytes, change_lines, truncate))(random, sound), "any"


def _packed(content: bytes, packing: str) -> bytes:
    if packing == ".gz":
        return gzip.compress(content, 1)
    return lzma.compress(content, preset=0) if packing == ".xz" else content


def _read(path: Path, encoding: str = "utf-8", notes: list[str] | None = None) -> list[Row]:
    from unroll.data.files.dataset import read

    return list(read(str(path), encoding=encoding, notes=notes))


def hold(outcome: Outcome, rows: Sequence[Row], *, changed: int, shown: bytes) -> None:
    """What was read is what was written, but for so many rows that were changed, or for names that were.

    Raises:
        Finding: rows were lost, made or altered.
    """
    if not outcome.answered:
        if not changed:
            raise Finding("sound file refused", f"{outcome.refusal!s:.200}; {shown[:300]!r}")
        return
    found = outcome.value
    what = "with one byte changed" if changed else "sound"
    if len(found) != len(rows):
        raise Finding(f"{what}: number of rows", f"{len(rows)} became {len(found)}: {shown[:300]!r}")
    # with the name of a column changed every row has another name, but the same values
    unlike = [i for i, (a, b) in enumerate(zip(rows, found, strict=True)) if not _same(_values(a), _values(b))]
    if len(unlike) > changed:
        a, b = rows[unlike[0]], found[unlike[0]]
        raise Finding(
            f"{what}: values", f"{len(unlike)} rows unlike, as {a!r:.150} read as {b!r:.150}: {shown[:200]!r}"
        )
    if not changed and found and list(found[0]) != list(rows[0]):
        raise Finding(f"{what}: names", f"{list(rows[0])} became {list(found[0])}: {shown[:200]!r}")


def _values(row: Row) -> list[Any]:
    return [value for value in row.values() if value is not None]


def same_streamed(random: Random, path: Path, outcome: Outcome, encoding: str = "utf-8") -> None:
    """A stream of the file gives the rows that reading it gives.

    Raises:
        Finding: other rows, or one of the two is refused.
    """
    from unroll.data.files.dataset import stream

    if random.random() < 0.7:
        return
    streamed = attempt(lambda: list(stream(str(path), encoding=encoding)))
    if streamed.answered != outcome.answered:
        # values of one column that do not go together matter to the whole table alone, as do rows without columns
        empty = "has no rows" in str(outcome.refusal) and streamed.answered and not any(streamed.value)
        if not empty and not (streamed.answered and "column" in str(outcome.refusal)):
            raise Finding("read and stream differ", f"{outcome.refusal!s:.200} / {streamed.refusal!s:.200}")
    elif streamed.answered and len(streamed.value) != len(outcome.value):
        raise Finding("read and stream differ", f"{len(outcome.value)} and {len(streamed.value)} rows")
    attempt(lambda: list(stream(str(path), encoding=encoding, skip=True)))


def damaged_json(random: Random, folder: Path) -> bool:
    """Records as JSON lines or one list, sound or damaged; True where it was read."""
    names = random.sample(_NAMES, random.randint(2, 4))
    kinds = [random.choice(_KINDS) for _ in names]
    rows = [{n: kind(random) for n, kind in zip(names, kinds, strict=True)} for _ in range(random.randint(1, 30))]
    lines = random.random() < 0.7
    escaped = random.random() < 0.5
    written = [json.dumps(row, ensure_ascii=escaped) for row in rows]
    if not lines:
        text = random.choice(("[{}]", "[\n{}\n]\n")).format(random.choice((", ", ",\n")).join(written))
    else:
        text = "\n".join(written) + random.choice(("", "\n", "\n\n"))
    sound = text.encode()
    damage = "odd"
    if random.random() < 0.3:
        content = _odd_lines(random, rows)
    else:
        content, damage = _perhaps(random, sound)
    path = folder / ("table" + (random.choice((".jsonl", ".ndjson", ".json")) if lines else ".json"))
    path.write_bytes(content)
    outcome = attempt(lambda: _read(path))
    if outcome.answered:  # a name that one row has is empty in the others, and may stand anywhere
        outcome = Outcome(
            [{name: row.get(name) for name in (*rows[0], *sorted({*row} - {*rows[0]}))} for row in outcome.value]
        )
    if damage in ("none", "byte") and lines:
        hold(outcome, rows, changed=int(damage == "byte"), shown=content)
    elif damage == "none":
        hold(outcome, rows, changed=0, shown=content)
    same_streamed(random, path, outcome)
    return outcome.answered


def _odd_lines(random: Random, rows: Sequence[Row]) -> bytes:
    lines = [json.dumps(row).encode() for row in rows]
    for _ in range(random.choice((1, 1, 3))):
        at = random.randrange(len(lines))
        if random.random() < 0.5:
            lines[at] = change_json(random, lines[at]) if lines[at].startswith(b"{") else b"{}"
        else:
            lines[at] = json.dumps(dict(rows[at]) | {random.choice(list(rows[at])): random.choice(ODD)}).encode()
    return b"\n".join(lines)


_KINDS = (
    lambda random: " ".join(random.choice(_WORDS) for _ in range(random.randint(0, 3))),
    lambda random: random.randint(-(2**40), 2**40),
    lambda random: random.gauss(0, 1e3),
    lambda random: random.random() < 0.5,
    lambda random: [random.gauss(0, 1) for _ in range(random.randint(0, 4))],
    lambda random: [[random.gauss(0, 1), 1.0] for _ in range(random.randint(0, 4))],
    lambda random: [random.choice(_WORDS) for _ in range(random.randint(0, 4))],
    lambda random: random.choice((None, "x")),
)  # fmt: skip


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def damaged_lines(random: Random, folder: Path) -> bool:
    """Lines of text, sound or damaged, and a folder of texts for each class; True where it was read."""
    lines = [" ".join(random.choice(_WORDS).replace("\n", " ") for _ in range(random.randint(0, 5))) for _ in range(9)]
    lines.append("end")
    sound = "\n".join(lines).encode() + random.choice((b"", b"\n"))
    content, damage = _perhaps(random, sound)
    path = folder / random.choice(("text.txt", "text.txt.gz"))
    path.write_bytes(_packed(content, path.suffix))
    outcome = attempt(lambda: _read(path))
    if damage == "none":
        hold(outcome, [{"text": line} for line in lines], changed=0, shown=content)
    same_streamed(random, path, outcome)
    return outcome.answered
