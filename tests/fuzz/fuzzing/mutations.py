"""Damage: bytes, lines, values of JSON and YAML, and what stands in a file's place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

_SPECIAL = b"\x00\xff\n\r\t\"',;:|{}[]\\-0 #"

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, -7, 10**6, 2**31, 2**63, -(2**63) - 1, 10**400, 0.0, -0.0, 0.5, -1.5, 1e-45,
    3e38, -3e38, 1e308, float("nan"), float("inf"), float("-inf"), "", " ", "x", "NA", "null", "none", "0", "-1",
    "1e400", "a\nb", "a\x00b", "\ud83d", "é" * 300, "../../x", "/dev/zero", "auto", [], [[]], [None], [0], [1, 2],
    ["a", "a"], ["a", "b"], [float("nan")], list(range(3000)), {}, {"a": 1}, {"": None}, [[1, 2], [3]], [{}],
)  # fmt: skip
"""Values of JSON that stand where others are expected."""

ODD_YAML = (
    "2001-99-99", "2001-01-01", "[" * 3000, "!!int abc", "!!float x", "9" * 5000, "[&a [*a]]",
    "!!python/object:os.system x",
    ".nan", ".inf", "-.inf", "-1", "0", "1e400", "1e-3", "0x10", "0o17", "12:30", "1_000", "no", "on", "~", "null",
    '"\\ud83d"', "'", '"', "{", "}", "[a, b", "*x", "&x", "|", ">", "%", "@", "`", "\tx", "- a", "? b", "!!binary x",
    "!!set {a}", "!!timestamp x", "!!null x", "!!bool x", "[1, 2]", "[a, b]", "[]", "{}", "{a: 1, a: 2}", "1.5", "text",
    "!!omap [a]", "<<: 1", "\x00", "\ufeff", "é", "[[[[1]]]]", "{? [1] : 2}", "!!str 5", "!!seq 5", "!!map 5",
)  # fmt: skip
"""YAML's values as they are written."""


def change_bytes(random: Random, content: bytes) -> bytes:
    """Damage bytes in one to three ways."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(_BYTES)(random, content)
    return content


def flip_one(random: Random, content: bytes) -> bytes:
    """Change one byte into another."""
    if not content:
        return b"x"
    at = random.randrange(len(content))
    new = random.choice((content[at] ^ (1 << random.randrange(8)), random.choice(_SPECIAL), random.randrange(256)))
    return content[:at] + bytes([new]) + content[at + 1 :]


def truncate(random: Random, content: bytes) -> bytes:
    """Cut the end off."""
    return content[: random.randrange(len(content) + 1)]


def _delete(random: Random, content: bytes) -> bytes:
    a, b = _span(random, content)
    return content[:a] + content[b:]


def _repeat(random: Random, content: bytes) -> bytes:
    a, b = _span(random, content)
    return content[:b] + content[a:b] + content[b:]


def _insert(random: Random, content: bytes) -> bytes:
    at = random.randrange(len(content) + 1)
    new = random.choice((random.randbytes(random.randrange(1, 9)), bytes([random.choice(_SPECIAL)])))
    return content[:at] + new + content[at:]


def _zero(random: Random, content: bytes) -> bytes:
    a, b = _span(random, content)
    return content[:a] + bytes(b - a) + content[b:]


def _noise(random: Random, content: bytes) -> bytes:
    a, b = _span(random, content)
    return content[:a] + random.randbytes(b - a) + content[b:]


def _nothing(random: Random, content: bytes) -> bytes:
    return b""


def _span(random: Random, content: bytes) -> tuple[int, int]:
    a = random.randrange(len(content) + 1)
    return a, min(len(content), a + random.choice((1, 2, 8, 64, 1000)))


_BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    flip_one, flip_one, flip_one, truncate, _delete, _repeat, _insert, _zero, _noise, _nothing,
)  # fmt: skip


def change_lines(random: Random, content: bytes) -> bytes:
    """Drop, repeat, exchange, cut or blank lines."""
    lines = content.split(b"\n")
    for _ in range(random.choice((1, 1, 2))):
        if not lines:
            break
        a, b = random.randrange(len(lines)), random.randrange(len(lines))
        way = random.randrange(5)
        if way == 0:
            del lines[a]
        elif way == 1:
            lines.insert(b, lines[a])
        elif way == 2:
            lines[a], lines[b] = lines[b], lines[a]
        elif way == 3:
            lines[a] = truncate(random, lines[a])
        else:
            lines[a] = b""
    return b"\n".join(lines)


def change_json(random: Random, content: bytes) -> bytes:
    """Put an odd value in some value's place, rename or remove a key, nest deeply, or give a key twice."""
    try:
        document = json.loads(content)
    except RecursionError:  # it has been nested deeply before
        return content
    way = random.randrange(10)
    if way == 0:
        return (b'{"format": ' + b"[" * 5000) if random.random() < 0.5 else b"[" * 100000
    if way == 1 and isinstance(document, dict) and document:
        key = random.choice(list(document))
        again = json.dumps({key: random.choice(ODD)})[1:-1]
        return json.dumps(document)[:-1].encode() + b", " + again.encode() + b"}"
    for _ in range(random.choice((1, 1, 1, 2))):
        document = _replaced(random, document)
    return json.dumps(document).encode()


def _replaced(random: Random, value: Any) -> Any:
    """`value` with something odd at a place within it."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        way = random.random()
        rest = {k: v for k, v in value.items() if k != key}
        if way < 0.08:
            return rest
        if way < 0.14:
            return rest | {random.choice(("", "x", key + " ", key.upper())): value[key]}
        return {k: _replaced(random, v) if k == key else v for k, v in value.items()}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        way = random.random()
        if way < 0.1:
            return value[:at] + value[at + 1 :]
        if way < 0.2:
            return value[: at + 1] + value[at:]
        return [*value[:at], _replaced(random, value[at]), *value[at + 1 :]]
    return odd_near(random, value)


def odd_near(random: Random, value: Any) -> Any:
    """An odd value, or one near `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float) and random.random() < 0.5:
        as_float = float(value) if abs(value) < 10**300 else value
        return random.choice((-value, value + 1, value - 1, value * 2, value * 1000, as_float, str(value), [value]))
    return random.choice(ODD)


def change_yaml(random: Random, content: bytes) -> bytes:
    """Change the value of a line `key: value`, or of a few."""
    lines = content.decode().split("\n")
    for _ in range(random.choice((1, 1, 2))):
        at = random.randrange(len(lines))
        head, colon, value = lines[at].partition(":")
        way = random.random()
        if way < 0.1:
            lines.insert(at, lines[at])
        elif way < 0.2:
            del lines[at]
        elif way < 0.3:
            lines[at] = random.choice(("x" + head, head.upper(), head[:-1], "  " + head)) + colon + value
        else:
            lines[at] = f"{head}: {random.choice(ODD_YAML)}"
        if not lines:
            return b""
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def change_text(random: Random, path: Path, content: bytes) -> bytes:
    """Change a file's content as its kind allows."""
    ways: list[Callable[[Random, bytes], bytes]] = [change_bytes, change_lines]
    if path.suffix == ".json":
        ways += [change_json] * 6
    elif path.suffix == ".yaml":
        ways += [change_yaml] * 4
    elif path.suffix == ".safetensors":
        ways = [change_bytes]
    try:
        return random.choice(ways)(random, content)
    except (ValueError, RecursionError):
        return change_bytes(random, content)


def replace_file(random: Random, path: Path, others: list[Path]) -> str:
    """Put something else in a file's place: nothing, another run's file, a device, a pipe, a folder, a huge file."""
    way = random.choice(("missing", "other", "other", "device", "pipe", "folder", "loop", "huge", "empty"))
    content = random.choice(others).read_bytes() if others else b""
    path.unlink()
    if way == "other":
        path.write_bytes(content)
    elif way == "device":
        path.symlink_to(random.choice(("/dev/zero", "/dev/null", "/dev/urandom")))
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "folder":
        path.mkdir()
    elif way == "loop":
        path.symlink_to(path.name)
    elif way == "huge":
        path.touch()
        os.truncate(path, random.choice((2**29 + 1, 2**31, 2**36)))
    elif way == "empty":
        path.touch()
    return way
