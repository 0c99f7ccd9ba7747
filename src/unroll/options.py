"""Combine option dataclasses into one flat set of names, and check the values.

The same names are the flags of the command line, the keys of a YAML file and the parameters of an
estimator. A field's docstring is its help.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import numbers
import reprlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from unroll.errors import OptionError, nearest


def defaults(classes: Sequence[type]) -> dict[str, Any]:
    """Collect every field of `classes` with its default, in order.

    Raises:
        TypeError: two classes share a field's name.
    """
    values: dict[str, Any] = {}
    for cls in classes:
        for field in dataclasses.fields(cls):
            if field.name in values:
                raise TypeError(f"option '{field.name}' is declared twice, the second time in {cls.__name__}")
            values[field.name] = field.default
    return values


def build(classes: Sequence[type], values: Mapping[str, Any], where: str = "options") -> tuple[Any, ...]:
    """Build one instance of each class from the flat `values`; missing options keep their defaults.

    Raises:
        OptionError: a key that no class has (the message names the nearest one), or an invalid value. `where` names
            the source of the values in the message.
    """
    known = defaults(classes)
    for key in values:
        if key not in known:
            raise OptionError(f"{where}: there is no option '{key!s:.60}'{nearest(str(key), known)}")
    try:
        return tuple(
            cls(**{f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}) for cls in classes
        )
    except OptionError as error:
        if where == "options":
            raise
        raise OptionError(f"{where}: {error}") from None


def flatten(instances: Sequence[Any]) -> dict[str, Any]:
    """Flatten instances to the mapping that `build` takes; tuples become lists, as in YAML."""
    flat: dict[str, Any] = {}
    for instance in instances:
        for field in dataclasses.fields(instance):
            value = getattr(instance, field.name)
            flat[field.name] = list(value) if isinstance(value, tuple) else value
    return flat


def help_texts(cls: type) -> dict[str, str]:
    """Collect the docstrings of a class's fields: the string below each, base classes included."""
    import docstring_parser

    texts: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if dataclasses.is_dataclass(c)]):
        parsed = docstring_parser.parse_from_object(base)
        texts |= {p.arg_name: inspect.cleandoc(p.description or "") for p in parsed.params}
    return texts


def check_types(instance: Any) -> None:
    """Check and convert every field of a frozen dataclass by its annotation; for use in `__post_init__`.

    Supports bool, int, float, str, `Literal`, `tuple[X, ...]`, `X | None` and `X | Mapping[Any, Y]`. Numbers of other
    libraries become Python's, lists become tuples, the keys of a mapping become text, and for a tuple of texts or
    numbers a single one is allowed.

    Raises:
        OptionError: a value of another type, a choice that does not exist, or a number that is not finite.
    """
    for name, hint in _hints(type(instance)).items():
        object.__setattr__(instance, name, check_value(name, getattr(instance, name), hint))


def check_range(
    instance: Any, *names: str, least: float = -math.inf, above: float = -math.inf, below: float = math.inf
) -> None:
    """Check that the named number fields are within bounds; `None` passes.

    Raises:
        OptionError: a value outside `least <= value`, `above < value` or `value < below`.
    """
    for name in names:
        value = getattr(instance, name)
        if value is None or (value >= least and above < value < below):
            continue
        bounds = [f"at least {least}"] if least > -math.inf else []
        bounds += [f"above {above}"] if above > -math.inf else []
        bounds += [f"below {below}"] if below < math.inf else []
        raise OptionError(f"{name} is {shown(value)}; it must be {' and '.join(bounds)}")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def shown(value: Any) -> str:
    """Shorten the `repr` of a value, which may be anything from a file."""
    try:
        text = reprlib.repr(value)
    except ValueError:  # a number of thousands of digits has no text
        return "a number of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."


def _key(name: str, key: Any) -> str:
    """Convert the key of a mapping to text: a name, a number, true or false."""
    key = key.item() if hasattr(key, "item") else key  # a number of NumPy
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise OptionError(f"{name} has the name {shown(key)}; a name is text, a number, true or false")


def check_value(name: str, value: Any, hint: Any) -> Any:
    """Check and convert the value of the option `name` to type `hint`; see `check_types`."""
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            raise OptionError(f"{name} is {shown(value)}{nearest(shown(value).strip(chr(39)), get_args(hint))}")
        return value
    if origin in (Union, types.UnionType):
        mapping = next((h for h in get_args(hint) if get_origin(h) is Mapping), None)
        if mapping is not None and isinstance(value, Mapping):
            return check_value(name, value, mapping)
        if value is None and type(None) in get_args(hint):
            return None
        return check_value(name, value, next(h for h in get_args(hint) if h is not type(None)))
    if origin is Mapping:
        inner = get_args(hint)[1]
        return {_key(name, key): check_value(f"{name} of {shown(key)}", one, inner) for key, one in value.items()}
    if origin is tuple:
        inner = get_args(hint)[0]
        if isinstance(value, str if inner is str else numbers.Real):
            value = [value]
        if isinstance(value, str) or not isinstance(value, Sequence):
            such = {str: "[a, b]", float: "[0.1, 0.5]"}.get(inner, "[3, 5]")
            raise OptionError(f"{name} is {shown(value)}; it must be a list, such as {such}")
        return tuple(check_value(name, v, inner) for v in value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise OptionError(f"{name} is {shown(value)}; it must be true or false")
    if hint is str:
        if isinstance(value, str):
            return value
        quotes = "; write it in quotes" if isinstance(value, bool | int | float) else ""
        raise OptionError(f"{name} is {shown(value)}; it must be text{quotes}")
    kind, word = (numbers.Integral, "a whole number") if hint is int else (numbers.Real, "a number")
    if isinstance(value, kind) and not isinstance(value, bool):
        try:
            number = hint(cast("Any", value))
        except OverflowError:
            number = math.inf
        if isinstance(number, int) or math.isfinite(number):
            return number
    raise OptionError(f"{name} is {shown(value)}; it must be {word}")
