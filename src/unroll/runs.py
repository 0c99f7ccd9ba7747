"""The run folder: what one training leaves behind, and the only thing needed to use the model.

    config.yaml          every option, resolved, and where the data came from
    model.safetensors    the weights
    encoder.json         the vocabulary or the scaler
    labels.json          the labels or the targets' names; tags.json, scaler.json, frequencies.json: what other
                         tasks have learnt
    metrics.json         figures on held-out data
    history.csv, gradients.csv, *.png
    checkpoints/         what a stopped training goes on from

Files are written beside and renamed, so a file that exists is whole. There is no pickle, in or out.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from unroll.errors import RunError, nearest
from unroll.files import read_document, write_whole

FORMAT = 1
CONFIG, WEIGHTS, ENCODER, LABELS, METRICS = (
    "config.yaml",
    "model.safetensors",
    "encoder.json",
    "labels.json",
    "metrics.json",
)
_PICTURES = ("curves.png", "gradients.png", "confusion.png", "forecast.png", "horizon.png")
_LEARNT = (ENCODER, LABELS, "tags.json", "scaler.json", "frequencies.json")
_FILES = {CONFIG, WEIGHTS, METRICS, "history.csv", "gradients.csv", *_LEARNT, *_PICTURES}
_FOLDERS = {"checkpoints", "tensorboard"}
_LARGEST_TEXT = 512 * 2**20
_LARGEST_HEADER = 100 * 2**20


class Run:
    """A run folder, for writing (`Run.claim`, then `begin`) or reading (`Run.open`).

    config.yaml is written after what a resumed training needs, and model.safetensors last of all, so that a folder
    that was left at any moment can be gone on with or replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def claim(cls, path: str | Path, *, overwrite: bool = False) -> Run:
        """A folder that a run may be written to; nothing is touched before `begin`.

        Raises:
            RunError: the path is a file, or holds something else, or a run and `overwrite` is off.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file; --out takes a folder")
        if path.is_dir() and any(path.iterdir()):
            if not (path / CONFIG).exists() and not all(_is_ours(p) for p in path.iterdir()):
                raise RunError(f"{path} is not empty and holds no run; choose another folder for --out")
            if not overwrite:
                if (path / WEIGHTS).exists():
                    raise RunError(f"{path} already holds a run; choose another --out, or give --overwrite")
                raise RunError(
                    f"{path} holds an unfinished run; go on with `unroll resume {path}`, or give --overwrite"
                )
        return cls(path)

    def begin(self) -> None:
        """Make the folder, and remove what an earlier run left in it; what else lies there stays.

        Raises:
            RunError: the folder cannot be made or cleared.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for entry in sorted(self.path.iterdir(), key=lambda p: p.name == CONFIG):
                if entry.is_dir() and entry.name in _FOLDERS:
                    shutil.rmtree(entry)
                elif entry.is_file() and _is_ours(entry):
                    entry.unlink()
        except OSError as error:
            raise RunError(f"cannot make the run folder {self.path}: {error.strerror}") from error

    @classmethod
    def open(cls, path: str | Path, *, finished: bool = True) -> Run:
        """Open an existing run.

        Raises:
            RunError: no such folder, not a run, or (with `finished`) its training has not ended.
        """
        path = Path(path)
        if not path.is_dir():
            near = nearest(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
            raise RunError(f"there is no run folder {path}{near if 'mean' in near else ''}")
        if not (path / CONFIG).is_file():
            raise RunError(f"{path} is not a run folder: it has no {CONFIG}")
        if finished and not (path / WEIGHTS).is_file():
            raise RunError(f"{path} has no {WEIGHTS}: its training has not ended; `unroll resume {path}` goes on")
        return cls(path)

    def write_config(self, task: str, options: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
        """Write config.yaml: the task, where its data came from, and every option."""
        from unroll import __version__

        head = {"format": FORMAT, "unroll": __version__, "task": task, "sources": dict(sources)}
        text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
        text += yaml.safe_dump({"options": dict(options)}, sort_keys=False, allow_unicode=True)
        self.write(CONFIG, text)

    def config(self) -> dict[str, Any]:
        """The content of config.yaml: `task` (str), `sources` and `options` (mappings).

        Raises:
            RunError: not YAML, a key missing or unknown, or a format this version does not know.
        """
        try:
            config = yaml.safe_load(self.read(CONFIG))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f" at line {mark.line + 1}" if mark else ""
            raise RunError(f"{self.path / CONFIG} is not valid YAML{where}") from error
        wanted = {"format": int, "unroll": str, "task": str, "sources": dict, "options": dict}
        if not isinstance(config, dict):
            raise RunError(f"{self.path / CONFIG} holds no mapping of keys to values")
        for key in config:
            if key not in wanted:
                raise RunError(f"{self.path / CONFIG}: unknown key '{key}'{nearest(str(key), wanted)}")
        for key, kind in wanted.items():
            if not isinstance(config.get(key), kind):
                raise RunError(f"{self.path / CONFIG}: '{key}' is missing or is not of type {kind.__name__}")
        if config["format"] != FORMAT:
            raise RunError(
                f"{self.path} has run format {config['format']}; this version of unroll reads format {FORMAT}"
            )
        return config

    def write(self, name: str, text: str) -> None:
        """Write a text file beside and rename it into place.

        Raises:
            RunError: the disk is full or the file cannot be written; what was there before stays.
        """
        write_whole(self.path / name, text)

    def read(self, name: str) -> str:
        """A text file's content.

        Raises:
            RunError: missing, too large to be true, or not UTF-8.
        """
        path = self.path / name
        try:
            if path.stat().st_size > _LARGEST_TEXT:
                raise RunError(f"{path} is larger than {_LARGEST_TEXT >> 20} MiB; it was not written by unroll")
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RunError(f"{self.path} is damaged: {name} is missing") from None
        except UnicodeDecodeError as error:
            raise RunError(f"{path} is damaged: not UTF-8 at byte {error.start}") from error
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error

    def write_json(self, name: str, content: Any) -> None:
        """Write JSON, indented; NaN and infinities become null."""
        self.write(name, json.dumps(_finite(content), indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read JSON.

        Raises:
            RunError: missing or not JSON.
        """
        text = self.read(name)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
            raise RunError(f"{self.path / name} is damaged: not valid JSON") from error

    def read_document(self, name: str, form: str) -> dict[str, Any]:
        """Read JSON of the form `form`.

        Raises:
            RunError: missing, not JSON, or of another form.
        """
        return read_document(self.read(name), form, str(self.path / name))

    def write_weights(self, model: Any) -> None:
        """Write the model's state as safetensors; tied tensors are written once for each name.

        Raises:
            RunError: the disk is full or the file cannot be written; what was there before stays.
        """
        from safetensors.torch import save

        state = {k: v.detach().to("cpu").contiguous().clone() for k, v in model.state_dict().items()}
        write_whole(self.path / WEIGHTS, save(state, metadata={"format": "pt"}))

    def read_weights(self, model: Any) -> None:
        """Load the weights into `model`, after comparing every name, shape and type with the file's header.

        Raises:
            RunError: the file is damaged, or is not for this model.
        """
        path = self.path / WEIGHTS
        header = _header(path)
        expected = {k: (list(v.shape), _DTYPES.get(str(v.dtype))) for k, v in model.state_dict().items()}
        for name in sorted(expected.keys() - header.keys()):
            raise RunError(f"{path} does not fit {CONFIG}: it has no '{name}'{nearest(name, header)}")
        for name in sorted(header.keys() - expected.keys()):
            raise RunError(f"{path} does not fit {CONFIG}: the model has no '{name}'{nearest(name, expected)}")
        for name, (shape, dtype) in expected.items():
            if header[name] != (shape, dtype):
                found, kind = header[name]
                raise RunError(
                    f"{path} does not fit {CONFIG}: '{name}' has shape {found} and type {kind}"
                    f" where the model has {shape} and {dtype}"
                )
        model.load_state_dict(self.read_tensors(), assign=True)

    def read_tensors(self) -> dict[str, Any]:
        """The weights by name.

        Raises:
            RunError: the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.path / WEIGHTS
        _header(path)
        try:
            state = load_file(str(path))
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} is damaged: {error}") from error
        for name, tensor in state.items():
            if not tensor.isfinite().all():
                raise RunError(f"{path} is damaged: '{name}' holds a value that is not finite")
        return state


_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.bool": "BOOL",
}


def _header(path: Path) -> dict[str, tuple[list[int], str]]:
    """Names, shapes and types in a safetensors file, read without touching the tensors."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                raise RunError(f"{path} is damaged: its header claims {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {str(k): (list(v["shape"]), str(v["dtype"])) for k, v in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path} is damaged: its header cannot be read") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error


def _is_ours(path: Path) -> bool:
    return path.name in _FILES or path.name in _FOLDERS or path.name.removesuffix(".part") in _FILES


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
