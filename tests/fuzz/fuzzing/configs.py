"""Options from YAML files and from the command line: of every task, with odd values."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.mutations import ODD, ODD_YAML, change_bytes, replace_file
from fuzzing.oracle import Finding, attempt
from fuzzing.trained import quiet

_PARSERS: dict[str, Any] = {}


def odd_config(random: Random, folder: Path) -> bool:
    """A file for --config: names and values, right, odd or damaged; True where it was taken."""
    task = random.choice(_tasks())
    options = _defaults(task)
    chosen = random.sample(list(options), random.randint(1, 4))
    odd = random.choice(chosen) if random.random() < 0.8 else ""
    lines = []
    for name in chosen:
        value = json.dumps(options[name])
        if name == odd:
            value = random.choice((random.choice(ODD_YAML), json.dumps(random.choice(ODD))))
            name = random.choice((name, name, name, name.replace("_", "-"), name[:-1], random.choice(chosen)))
        lines.append(f"{name}: {value}")
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    if random.random() < 0.2:
        content = change_bytes(random, content)
    elif random.random() < 0.05:
        content = random.choice((content.decode("utf-8", "replace").encode("utf-16"), b"\xef\xbb\xbf" + content))
    path = folder / "options.yaml"
    path.write_bytes(content)
    if random.random() < 0.03:
        replace_file(random, path, [])
    return _taken(task, ["x.csv", "--out", "run", "--config", str(path)])


def odd_flags(random: Random, folder: Path) -> bool:
    """Flags with odd values; True where they were taken."""
    task = random.choice(_tasks())
    options = _defaults(task)
    line = ["x.csv", "--out", "run"]
    for name in random.sample(list(options), random.randint(1, 3)):
        value = options[name]
        shown = ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value).lower()
        if random.random() < 0.7:
            shown = random.choice((random.choice(ODD_YAML), str(random.choice(ODD)), json.dumps(random.choice(ODD))))
        line.append(f"--{name.replace('_', '-')}={shown[:20000]}")
    if random.random() < 0.1:
        line.insert(random.randrange(len(line)), random.choice(("--", "-x", "--hiden=3", "--epochs", "", "--out")))
    return _taken(task, line)


def _taken(task: str, line: list[str]) -> bool:
    from unroll.commands.fit import parser
    from unroll.tasks.registry import entry
    from unroll.tasks.transfer import resolve_settings

    if task not in _PARSERS:
        _PARSERS[task] = parser(task)
    settings = entry(task).load_settings()

    def read() -> Any:
        try:
            with quiet():
                given = _PARSERS[task].read(line)
        except SystemExit as stop:
            raise Finding("the program ended", f"{stop.code}: {line!s:.200}") from stop
        return resolve_settings(settings, {name: getattr(given, name) for name in _PARSERS[task].named})

    outcome = attempt(read)
    if outcome.answered:
        # what was taken says itself again, as a run folder will
        again = settings.from_flat(outcome.value.flat())
        if again != outcome.value:
            raise Finding("options do not say themselves again", f"{line!s:.300}")
    return outcome.answered


def _tasks() -> list[str]:
    from unroll.tasks.registry import TASKS

    return list(TASKS)


def _defaults(task: str) -> dict[str, Any]:
    from unroll.tasks.registry import entry

    return entry(task).load_settings()().flat()
