"""Parse a command's arguments: flags from option dataclasses, values from a YAML file and the command line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from unroll import safe_yaml
from unroll.data.options import SourceOptions
from unroll.errors import OptionError, nearest
from unroll.options import check_value, help_texts
from unroll.tasks.registry import TASKS, Flag

_CONFIG = "--config"
_ALL = "--help-all"
_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}
_WRITTEN = ("input_format", "delimiter", "header", "sheet", "quoting", "decimal", "comments")


def written(given: Namespace) -> SourceOptions:
    """Make the `SourceOptions` from the arguments of `Parser.add_source`."""
    return SourceOptions(**{name: getattr(given, name) for name in _WRITTEN})


def task_flags(given: Namespace, command: str, task: str) -> dict[str, Any]:
    """Collect the flags of `Parser.add_task_flags` that were given.

    Raises:
        OptionError: a flag is for runs of another task.
    """
    flags: dict[str, Any] = {}
    for name, spec in TASKS.items():
        for flag in getattr(spec, f"{command}_flags"):
            value = getattr(given, flag.name)
            if value is None:
                continue
            if name != task:
                written = flag.name.replace("_", "-")
                raise OptionError(f"--{written} goes with {name}, and {given.run} holds a {task} run")
            flags[flag.name] = value
    return flags


def aside(text: str) -> None:
    """Print a note to standard error; a command's results go to standard output."""
    print(text, file=sys.stderr)


class _Formatter(argparse.HelpFormatter):
    """Format each flag with its help and default; the metavar already shows the type."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.option_strings and action.default not in (None, "", [], (), argparse.SUPPRESS):
            default = list(action.default) if isinstance(action.default, tuple) else action.default
            text += f" Default: {str(default).lower() if isinstance(default, bool) else default}."
        return text


class Parser(ArgumentParser):
    """Argument parser with one-sentence errors that suggest the nearest flag or key."""

    def __init__(self, prog: str, usage: str, description: str) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            formatter_class=_Formatter,
            exit_on_error=True,
            allow_abbrev=False,
        )
        self.hints: dict[str, Any] = {}
        self.rarer: list[argparse.Action] = []
        self.named: frozenset[str] = frozenset()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the error as an `OptionError`; the command line prints it and exits with status 2."""
        raise OptionError(_sentence(message, self.flags()))

    def flags(self) -> list[str]:
        """List every long flag."""
        return [s for a in self._actions for s in a.option_strings if s.startswith("--")]

    def add_options(
        self, classes: Sequence[type], without: Sequence[str] = (), common: Sequence[str] | None = None
    ) -> None:
        """Add a flag for every field of the classes except `without`, with one group per class.

        A field's docstring is its help. With `common`, `--help` shows only these, and `--help-all` all.
        """
        for cls in classes:
            group = self.add_argument_group(_title(cls))
            hints, texts = get_type_hints(cls), help_texts(cls)
            for field in dataclasses.fields(cls):
                if field.name in without:
                    continue
                self.hints[field.name] = hints[field.name]
                hint = hints[field.name]
                more: dict[str, Any] = {"nargs": "?", "const": True} if hint is bool else {}
                if get_origin(hint) is not Literal:
                    more["metavar"] = _metavar(hint)
                action = group.add_argument(
                    "--" + field.name.replace("_", "-"),
                    type=_as_written,
                    default=field.default,
                    help=texts[field.name].replace("%", "%%"),
                    **more,
                )
                if action is not None and common is not None and field.name not in common:
                    self.rarer.append(action)

    def add_value(self, flag: str, hint: Any, text: str, group: Any = None) -> None:
        """Add a flag with a value of type `hint` and no default, to an argument group if one is given."""
        self.hints[flag.removeprefix("--").replace("-", "_")] = hint
        (group or self).add_argument(flag, type=_as_written, metavar=_metavar(hint), help=text)

    def add_task_flags(self, command: str) -> None:
        """Add the task-specific flags, one group per task; see `task_flags`."""
        for name, task in TASKS.items():
            flags: tuple[Flag, ...] = getattr(task, f"{command}_flags")
            group = self.add_argument_group(f"for {name} runs") if flags else None
            for flag in flags:
                written = "--" + flag.name.replace("_", "-")
                if flag.kind is None:
                    (group or self).add_argument(written, nargs="+", metavar="DATA", help=flag.text)
                else:
                    self.add_value(written, flag.kind, flag.text, group)

    def add_run(self, what: str = "The run folder.", *, finished: bool = True) -> None:
        """Add the argument RUN, and `--trust-changed` for commands that need a finished run."""
        self.add_argument("run", metavar="RUN", help=what)
        if finished:
            self.add_argument(
                "--trust-changed",
                action="store_true",
                help="Use the run though its files are not as they were written, such as one that was edited by hand.",
            )

    def add_source(self, skipping: str = "Leave rows out that cannot be used.") -> None:
        """Add the flags for reading files: `--encoding`, `--delimiter` etc., and `--skip-bad-rows`."""
        self.add_argument(
            "--encoding", metavar="NAME", help="Encoding of text files, if not that of the training data."
        )
        texts, hints = help_texts(SourceOptions), get_type_hints(SourceOptions)
        for name in _WRITTEN:
            self.hints[name] = hints[name]
            default = getattr(SourceOptions, name)
            flag = "--" + name.replace("_", "-")
            self.add_argument(flag, type=_as_written, default=default, help=texts[name])
        self.add_argument("--skip-bad-rows", action="store_true", help=skipping)

    def add_full(self) -> None:
        """Add the flag `--full`."""
        self.add_argument("--full", action="store_true", help="Show all rows of long tables, such as every class.")

    def add_slim(self) -> None:
        """Add the flag `--slim`."""
        self.add_argument("--slim", action="store_true", help="Leave no checkpoints in the folder at the end.")

    def add_config(self) -> None:
        """Add the flag `--config FILE` for options as YAML; the command line takes precedence."""
        self.add_argument(_CONFIG, metavar="FILE", help="YAML file of options, such as one of recipes/.")

    def format_help(self, formatter: Any = None) -> str:
        """Format the help without the rarer options, and with their number."""
        kept = [action.help for action in self.rarer]
        for action in self.rarer:
            action.help = argparse.SUPPRESS
        try:
            text = super().format_help(formatter)
        finally:
            for action, words in zip(self.rarer, kept, strict=True):
                action.help = words
        return text + (f"\n{_ALL} shows {len(self.rarer)} more options.\n" if self.rarer else "")

    def read(self, arguments: Sequence[str]) -> Namespace:
        """Parse a command line; `named` are then the options set there or in the file of `--config`.

        Raises:
            OptionError: an unknown flag or key (the nearest one is named) or a value of the wrong type.
        """
        if self.rarer and _ALL in arguments:
            print(super().format_help(), end="")
            self.exit()
        config, rest = _take(list(arguments)) if _CONFIG in self.flags() else (None, list(arguments))
        base = self.get_defaults()
        named = {a.split("=", 1)[0].removeprefix("--").replace("-", "_") for a in rest if a.startswith("--")}
        if config is not None:
            for key, value in _yaml(config).items():
                named.add(key)
                if key not in self.hints:
                    raise OptionError(f"{config}: there is no option '{key:.60}'{nearest(key, self.hints)}")
                try:
                    base[key] = check_value(key, value, self.hints[key])
                except OptionError as error:
                    raise OptionError(f"{config}: {error}") from None
        given = self.parse_args(rest, namespace=base)
        given.pop(_CONFIG.removeprefix("--"), None)
        for name in named & self.hints.keys():
            given[name] = _value(name, given[name], self.hints[name])
        self.named = frozenset(named & self.hints.keys())
        return given


def _yaml(path: str) -> dict[str, Any]:
    try:
        content = safe_yaml.read(Path(path))
    except FileNotFoundError:
        raise OptionError(f"there is no configuration file {path}") from None
    except ValueError as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"{path!r:.80} is no name of a file: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f"{path} must hold 'option: value' lines")
    options: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name in options:
            raise OptionError(f"{path}: the option '{name:.60}' is there twice, as {key!s:.60} too")
        options[name] = value
    return options


def _take(arguments: list[str]) -> tuple[str | None, list[str]]:
    files: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument == _CONFIG:
            file = next(given, None)
            if file is None:
                raise OptionError(f"{_CONFIG} needs a file")
            files.append(file)
        elif argument.startswith(_CONFIG + "="):
            files.append(argument.split("=", 1)[1])
        else:
            rest.append(argument)
    if len(files) > 1:
        raise OptionError(f"{_CONFIG} is given {len(files)} times; put the options into one file")
    return (files[0] if files else None), rest


def _title(cls: type) -> str:
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__.removesuffix("Options")).lower()
    summary = (cls.__doc__ or "").strip().splitlines()[0].rstrip(".")
    return f"{words} options: {summary[0].lower()}{summary[1:]}"


def _as_written(value: Any) -> Any:
    """Keep a flag's value as text; `_value` converts it later."""
    return value


def _value(name: str, given: Any, hint: Any) -> Any:
    """Convert the text of a flag to the option's value.

    Raises:
        OptionError: it is not a value of the option's type.
    """
    flag = "--" + name.replace("_", "-")
    if not isinstance(given, str):
        return check_value(name, given, hint)
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        return _texts(flag, given) if kind is str else _numbers(flag, kind, given)
    inner = get_args(hint) if get_origin(hint) is not Literal else ()
    if any(get_origin(h) is Mapping for h in inner) and ("=" in given or given.lstrip().startswith("{")):
        return check_value(name, _mapping(flag, given), hint)
    if type(None) in inner:
        if given in ("null", "none", "None"):
            return None
        hint = next(h for h in inner if h is not type(None))
    if hint is bool:
        return check_value(name, _TRUTHS.get(given.lower(), given), bool)
    if hint in (int, float):
        with contextlib.suppress(ValueError):
            return check_value(name, hint(given), hint)
    return check_value(name, given, hint)


def _numbers(flag: str, kind: type[int] | type[float], text: str) -> tuple[Any, ...]:
    """Parse numbers separated by commas, with or without brackets."""
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    try:
        return check_value(flag, [kind(part) for part in inner.split(",") if part.strip()], tuple[kind, ...])
    except ValueError:
        what, such = ("numbers", "0.1,0.5") if kind is float else ("whole numbers", "3,5")
        raise OptionError(f"{flag}: {text!r:.60} is no list of {what}, such as {such}") from None


def _texts(flag: str, text: str) -> tuple[str, ...]:
    """Parse texts separated by commas, or a YAML list, for texts that contain commas."""
    if text.startswith("["):
        try:
            return check_value(flag, safe_yaml.parse(text, flag), tuple[str, ...])
        except OptionError:
            raise OptionError(f"{flag}: {text!r:.60} is no list of texts, such as a,b or [a, b]") from None
    return tuple(part for piece in text.split(",") if (part := piece.strip()))


def _mapping(flag: str, text: str) -> dict[Any, Any]:
    """Parse NAME=X separated by commas, or a YAML mapping, for names that contain commas."""
    with contextlib.suppress(ValueError):
        if text.lstrip().startswith("{"):
            return dict(safe_yaml.parse(text, flag))
        pairs = [piece.rpartition("=") for piece in text.split(",") if piece.strip()]
        if len({name.strip() for name, _, _ in pairs}) == len(pairs):
            return {name.strip(): float(number) for name, _, number in pairs}
    raise OptionError(f"{flag}: {text!r:.60} is no list of names with numbers, such as a=5,b=0.5 or '{{a: 5, b: 0.5}}'")


def _metavar(hint: Any) -> str:
    if any(get_origin(h) is Mapping for h in get_args(hint)):
        return "NAME=X,..."
    if get_origin(hint) is tuple:
        return {str: "TEXT,...", float: "X,..."}.get(get_args(hint)[0], "N,...")
    inner = next((h for h in get_args(hint) if h is not type(None)), hint)
    return {int: "N", float: "X", bool: "true|false", str: "TEXT"}.get(inner, "VALUE")


def _sentence(message: str, flags: Sequence[str]) -> str:
    unknown = re.search(r"(?:[Uu]nrecognized arguments?|not expected)[^-]*(--?[\w-]+)", message)
    if unknown:
        return f"there is no option {unknown[1]}{nearest(unknown[1], flags) if flags else ''}"
    missing = re.search(r"arguments are required: (.*)", message)
    if missing:
        names = [f"--{n}" if f"--{n}" in flags else n.upper() for n in missing[1].split(", ")]
        return f"{' and '.join(names)} must be given; --help shows how"
    return " ".join(message.removeprefix("argument ").split())
