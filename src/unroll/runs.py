"""Read and write the run folder: the result of one training, and all that is needed to use the model.

    config.yaml          every option, resolved, and where the data came from
    model.safetensors    the weights
    encoder.json, ...    what the task has learnt: a vocabulary or scaler, labels; each task has its own
    metrics.json         metrics on held-out data
    manifest.json        sizes and checksums of the above
    README.md            what the run is and how to use it
    predictions.csv, worst.csv, history.csv, gradients.csv, *.png
    checkpoints/         the state to resume a stopped training from
    refit/               history and checkpoints of a second training, on training and validation data

Files are written to a temporary name and renamed, so a file that exists is complete. Pickle is never used.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from unroll import lock, manifest, safe_yaml, weights
from unroll.atomic_write import read_document, read_json, read_regular, write_whole
from unroll.errors import RunError, nearest
from unroll.manifest import Manifest

FORMAT = 1
CONFIG, WEIGHTS, METRICS = "config.yaml", "model.safetensors", "metrics.json"
README, PREDICTIONS, WORST, CHECKPOINTS = "README.md", "predictions.csv", "worst.csv", "checkpoints"
_FILES = {CONFIG, WEIGHTS, METRICS, manifest.NAME, "history.csv", "gradients.csv", "curves.png", "gradients.png"}
_COMMON_NAMES = {README, PREDICTIONS, WORST}
"""Files of a run with names that other folders have too: only beside config.yaml are they the run's."""
_FOLDERS = {CHECKPOINTS, "refit", "tensorboard"}
T = TypeVar("T")
_LARGEST_TEXT = 512 * 2**20


class Run:
    """Run folder, for writing (`Run.claim`, then `begin`) or reading (`Run.open`).

    config.yaml is written after the files that a resumed training needs, model.safetensors when the training has
    ended, and manifest.json last, so a folder left at any moment can be resumed or replaced. Files read from a
    finished run are checked against its manifest.
    """

    def __init__(self, path: Path, manifest: Manifest | None = None, files: Iterable[str] = ()) -> None:
        self.path = path
        self._manifest = manifest
        self._files = frozenset(files)

    @classmethod
    def claim(cls, path: str | Path, *, files: Iterable[str] = (), overwrite: bool = False, held: bool = False) -> Run:
        """Check that a run may be written to a folder; nothing is changed before `begin`.

        Args:
            path: the folder.
            files: names of the task-specific files, in addition to the files of every run.
            overwrite: allow a folder that holds a run, which will be replaced.
            held: the caller holds the lock, within `writing`.

        Raises:
            RunError: the path is a file, or holds something else, or a run and `overwrite` is off, or another training
                writes to it.
        """
        path = Path(path)
        run = cls(path, files=files)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; --out takes a folder")
        if not held:
            lock.check(path)
        if path.is_dir() and any(entry.name != lock.NAME for entry in path.iterdir()):
            ours = all(run._is_ours(p) and p.name not in _COMMON_NAMES for p in path.iterdir())
            if not (path / CONFIG).exists() and not ours:
                raise RunError(f"{path} is not empty and holds no run; choose another folder for --out")
            if not overwrite:
                if run.ended:
                    raise RunError(f"{path} already holds a run; choose another --out, or give --overwrite")
                raise RunError(
                    f"{path} holds an unfinished run; go on with `unroll resume {path}`, or give --overwrite"
                )
        return run

    @contextlib.contextmanager
    def writing(self) -> Iterator[str]:
        """Create the folder, and lock it against other trainings within the context.

        Yields:
            "", or a warning that the file system has no locks.

        Raises:
            RunError: another training writes to it, or it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {error.strerror}") from error
        with lock.held(self.path) as note:
            yield note

    def begin(self) -> None:
        """Create the folder, and remove an earlier run's files from it; other files stay.

        Raises:
            RunError: the folder cannot be made or cleared.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for entry in sorted(self.path.iterdir(), key=_removal):
                if not self._is_ours(entry) or entry.name == lock.NAME:
                    continue
                if not entry.is_dir() or entry.is_symlink():
                    entry.unlink()
                elif entry.name in _FOLDERS:
                    shutil.rmtree(entry)
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {error.strerror}") from error

    @classmethod
    def open(cls, path: str | Path, *, finished: bool = True, trust_changed: bool = False) -> Run:
        """Open an existing run.

        Args:
            path: the folder.
            finished: require that the training has ended.
            trust_changed: use a finished run even if it has no manifest, or its files have changed.

        Raises:
            RunError: no such folder, not a run, or (with `finished`) its training has not ended, or its files have
                changed.
        """
        path = Path(path)
        if not path.is_dir():
            near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
            raise RunError(f"there is no run folder {path}{near if 'mean' in near else ''}")
        if not os.path.lexists(path / CONFIG):
            raise RunError(f"{path} is not a run folder: it has no {CONFIG}")
        if not finished:
            return cls(path)
        if not os.path.lexists(path / WEIGHTS) and (trust_changed or not cls(path).ended):
            raise RunError(f"{path} has no {WEIGHTS}: its training has not ended; `unroll resume {path}` goes on")
        return cls(path, None if trust_changed else _held_against_manifest(path))

    def write_config(self, task: str, options: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        """Write config.yaml: the task, where its data came from, and every option."""
        head = {"format": FORMAT, "unroll": version("unroll"), "task": task, "sources": dict(sources)}
        self.write(CONFIG, safe_yaml.write({**head, "options": dict(options)}))

    def config(self) -> dict[str, Any]:
        """Read config.yaml: `task` (str), `sources` and `options` (mappings).

        Raises:
            RunError: not YAML, a missing or unknown key, or a format that this version does not support.
        """
        config = safe_yaml.parse(self.read(CONFIG), str(self.path / CONFIG), RunError)
        wanted = {"format": int, "unroll": str, "task": str, "sources": dict, "options": dict}
        if not isinstance(config, dict):
            raise RunError(f"{self.path / CONFIG} holds no mapping of keys to values")
        for key in config:
            if key not in wanted:
                raise RunError(f"{self.path / CONFIG}: unknown key '{key!s:.60}'{nearest(str(key), wanted)}")
        for key, kind in wanted.items():
            if not isinstance(config.get(key), kind):
                raise RunError(f"{self.path / CONFIG}: '{key}' is missing or is not of type {kind.__name__}")
        if config["format"] != FORMAT:
            raise RunError(
                f"{self.path} has run format {config['format']!s:.20}; this version of unroll reads format {FORMAT}"
            )
        return config

    def write(self, name: str, text: str) -> None:
        """Write a text file atomically.

        Raises:
            RunError: the disk is full or the file cannot be written; the old file is intact.
        """
        write_whole(self.path / name, text)

    def read(self, name: str) -> str:
        """Read a text file.

        Raises:
            RunError: missing, changed since it was written, not a regular file, too large, or not UTF-8.
        """
        path = self.path / name
        try:
            content = read_regular(path, _LARGEST_TEXT)
            if self._manifest is not None:
                self._manifest.check(name, content)
            return content.decode("utf-8")
        except FileNotFoundError:
            raise RunError(f"{self.path} is damaged: {name} is missing") from None
        except UnicodeDecodeError as error:
            raise RunError(f"{path} is damaged: not UTF-8 at byte {error.start}") from error

    def write_json(self, name: str, content: Any) -> None:
        """Write JSON, indented; NaN and infinities become null."""
        self.write(name, json_text(content))

    def read_json(self, name: str) -> Any:
        """Read JSON.

        Raises:
            RunError: missing or not JSON.
        """
        text = self.read(name)
        try:
            return read_json(text)
        except ValueError as error:
            raise RunError(f"{self.path / name} is damaged: not valid JSON") from error

    def read_document(self, name: str, form: str) -> dict[str, Any]:
        """Read a JSON document with `"format": form`.

        Raises:
            RunError: missing, not JSON, or of another format.
        """
        return read_document(self.read(name), form, str(self.path / name))

    def read_as(self, name: str, reader: Callable[[str], T]) -> T:
        """Parse a text file with `reader`; the file's name is added to its errors.

        Raises:
            RunError: the file is missing, or `reader` raises it.
        """
        text = self.read(name)
        try:
            return reader(text)
        except RunError as error:
            raise RunError(f"{self.path / name}: {error}") from None

    def write_weights(self, model: Any) -> None:
        """Write the model's state as safetensors.

        Raises:
            RunError: the disk is full or the file cannot be written; the old file is intact.
        """
        weights.write(self.path / WEIGHTS, model)

    def read_weights(self, model: Any) -> None:
        """Load the weights into `model`, after checking every name, shape and dtype in the file's header.

        Raises:
            RunError: the file has changed since it was written, is damaged, or is not for this model.
        """
        self._check_weights()
        weights.fit(self.path / WEIGHTS, model, CONFIG)

    def read_tensors(self) -> dict[str, Any]:
        """Read the weights by name.

        Raises:
            RunError: the file has changed since it was written, or is damaged.
        """
        self._check_weights()
        return weights.read(self.path / WEIGHTS)

    def _check_weights(self) -> None:
        if self._manifest is not None:
            self._manifest.check_file(WEIGHTS)

    def finish(self, state: Iterable[str]) -> None:
        """Write manifest.json, the last file: the run is complete.

        Args:
            state: names of the files with what the task has learnt.

        Raises:
            RunError: it cannot be written, or another file cannot be read.
        """
        Manifest.of(self.path, (CONFIG, WEIGHTS, *state, METRICS)).write()

    def _is_ours(self, path: Path) -> bool:
        names = {path.name, path.name.removesuffix(".part")}
        return (
            path.name == lock.NAME
            or path.name in _FOLDERS
            or not names.isdisjoint(_FILES | _COMMON_NAMES | self._files)
        )

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints, which a run that has ended does not need.

        Raises:
            RunError: they cannot be removed.
        """
        for folder in (self.path / CHECKPOINTS, self.path / "refit" / CHECKPOINTS):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RunError(f"cannot remove {folder}: {error.strerror}") from error

    @property
    def ended(self) -> bool:
        """Whether the run was finished: it has a manifest and the weights."""
        return os.path.lexists(self.path / manifest.NAME) and os.path.lexists(self.path / WEIGHTS)


def _held_against_manifest(path: Path) -> Manifest:
    """Read a run's manifest and check that its files exist with the right sizes; contents are checked when read."""
    try:
        found = Manifest.read(path)
    except FileNotFoundError:
        raise RunError(
            f"{path} has no {manifest.NAME}: its training was stopped just before its end, which `unroll resume {path}`"
            f" makes good, or it was removed; {manifest.TRUST}"
        ) from None
    found.check_sizes()
    if METRICS in found.files:  # no command reads it, but people do
        found.check_file(METRICS)
    return found


def _removal(entry: Path) -> int:
    """Sort key for removing a run's files, so that the rest never looks like a finished run."""
    return {manifest.NAME: 0, CONFIG: 2}.get(entry.name, 1)


def json_text(content: Any) -> str:
    """Format a value as indented JSON; NaN and infinities become null, as JSON has no such numbers."""
    return json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
