"""Read and write a safe subset of YAML: text, numbers, booleans, null, lists and mappings.

Values are resolved as in YAML 1.2: `no`, `on`, `12:30` and `2024-01-01` are text, `1e-3` is a number, and `010` is
ten. Duplicate keys, aliases and other tags are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from unroll.atomic_write import read_regular
from unroll.errors import OptionError, UserError

_LARGEST = 4 * 2**20
_DEEPEST = 50
_MOST_BITS = 1024
_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    ("int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), list("-+0123456789")),
    (
        "float",
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        list("-+.0123456789"),
    ),
)


def read(path: Path, kind: type[UserError] = OptionError) -> Any:
    """Read a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        kind: it is not a regular file, too large, not UTF-8, or not valid YAML of this subset.
    """
    content = read_regular(path, _LARGEST, kind)
    try:
        return parse(content.decode("utf-8-sig"), str(path), kind)
    except UnicodeDecodeError as error:
        utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        why = "it is UTF-16" if utf_16 else f"there is none at byte {error.start}"
        raise kind(f"{path} must be UTF-8 text, and {why}") from None


def parse(text: str, what: str, kind: type[UserError] = OptionError) -> Any:
    """Parse a YAML text; `what` is its name in error messages.

    Raises:
        kind: it is not valid YAML of this subset; the message names the line.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (the loader makes none but plain values)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise kind(f"{what} is not valid YAML{where}: {why!s:.200}") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise kind(f"{what} is not valid YAML: {error!s:.200}") from None


def write(value: Any) -> str:
    """Format a value as YAML that `parse` reads back as `value`, keeping the order of its keys.

    Text that YAML 1.1 would read as another type is quoted, so that other programs read the same.
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (PyYAML's own way)
    yaml_constructors: dict[Any, Any] = {None: yaml.SafeLoader.construct_undefined}  # noqa: RUF012

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise ComposerError(None, None, "an alias, such as *name, is not taken", event.start_mark)
        if self._depth == _DEEPEST:
            raise ComposerError(None, None, "it is nested too deeply", event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=True)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError):
            what = node.tag.removeprefix(_TAG)
            raise ConstructorError(None, None, f"a value of the kind {what} cannot be read", node.start_mark) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "there is no mapping", node.start_mark)
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node)
            if isinstance(key, list | dict):
                raise ConstructorError(None, None, "a list or a mapping is no key", key_node.start_mark)
            if key in mapping:
                raise ConstructorError(None, None, f"the key {key!r:.60} is there twice", key_node.start_mark)
            mapping[key] = self.construct_object(value_node)
        return mapping


class _Dumper(yaml.SafeDumper):
    pass


def _text(loader: _Loader, node: Any) -> str:
    text = loader.construct_scalar(node)
    text.encode()  # a lone surrogate, which an escape can produce, is a ValueError
    return text


def _int(loader: _Loader, node: Any) -> int:
    text = loader.construct_scalar(node)
    number = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if number.bit_length() > _MOST_BITS:
        raise ValueError("too large")
    return number


def _float(loader: _Loader, node: Any) -> float:
    text = loader.construct_scalar(node)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _list(loader: _Loader, node: Any) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, _pattern, _first)
    _Dumper.add_implicit_resolver(_TAG + _name, _pattern, _first)
_Loader.add_constructor(_TAG + "null", yaml.SafeLoader.construct_yaml_null)
_Loader.add_constructor(_TAG + "bool", yaml.SafeLoader.construct_yaml_bool)
_Loader.add_constructor(_TAG + "int", _int)
_Loader.add_constructor(_TAG + "float", _float)
_Loader.add_constructor(_TAG + "str", _text)
_Loader.add_constructor(_TAG + "seq", _list)
_Loader.add_constructor(_TAG + "map", _Loader.construct_mapping)
