"""Checkpoints: a folder of JSON and safetensors that is complete at every moment.

    checkpoints/last/state.json               everything but tensors; names the tensor file that belongs to it
    checkpoints/last/state-a.safetensors      the tensors

The tensors of a new checkpoint go into the file (a or b) that the current `state.json` does not name.
Replacing `state.json`, one rename, makes the new checkpoint the current one; then the old tensors are deleted.
So if the process is killed at any moment, either the old or the new checkpoint is there, complete.

`state.json` also holds a hash of its state and the tensors: a checkpoint that was changed since, by hand or by
a failing disk, is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from unroll.atomic_write import read_regular, write_whole
from unroll.errors import RunError, UserError
from unroll.training.serialization import decode, encode

FORMAT = 3
_NAMES = ("state-a.safetensors", "state-b.safetensors")
_JSON = "state.json"
_LARGEST = 2**40


def save(folder: Path, state: dict[str, Any]) -> None:
    """Save `state` (nested; see `unroll.training.serialization`) as the checkpoint in `folder`.

    Raises:
        RunError: it cannot be written; the older checkpoint is intact.
        TypeError: `state` holds a kind of object that a checkpoint cannot.
    """
    node, tensors = encode(state)
    name = _NAMES[1] if _present(folder) == _NAMES[0] else _NAMES[0]
    content = write_tensors(tensors)
    head = {"format": FORMAT, "tensors": name, "bytes": len(content), "sha256": _digest(node, content), "state": node}
    text = json.dumps(head, allow_nan=False)
    try:
        write_whole(folder / name, content)
        write_whole(folder / _JSON, text)
    except RunError:
        _unlink(folder / name)
        raise
    for other in _NAMES:
        if other != name:
            _unlink(folder / other)


def discard(folder: Path) -> None:
    """Remove the checkpoint in `folder`, if there is one.

    Raises:
        RunError: it cannot be removed.
    """
    try:
        for name in (_JSON, *_NAMES):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot remove the old checkpoint in {folder}: {error.strerror}") from error


def exists(folder: Path) -> bool:
    """Whether `folder` holds a checkpoint, damaged or not."""
    return os.path.lexists(folder / _JSON)


def load(folder: Path) -> dict[str, Any]:
    """Load the state that `save` was given, with all tensors on the CPU.

    Raises:
        RunError: there is no checkpoint, or it is damaged.
    """
    if not exists(folder):
        raise RunError(f"{folder} holds no checkpoint")
    try:
        head = json.loads(read_regular(folder / _JSON, _LARGEST))
        if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("tensors") not in _NAMES:
            raise RunError(f"the checkpoint in {folder} is damaged, or of another version: {_JSON} is not as written")
        content = read_regular(folder / head["tensors"], _LARGEST)
        if len(content) != head.get("bytes"):
            raise ValueError(f"{head['tensors']} has {len(content)} bytes, not {head.get('bytes')}")
        if _digest(head.get("state"), content) != head.get("sha256"):
            raise ValueError("it is not as it was written")
        state = decode(head.get("state"), read_tensors(content))
    except OSError as error:
        raise RunError(f"cannot read the checkpoint in {folder}: {error.strerror}") from error
    except (ValueError, RecursionError, SafetensorError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"the checkpoint in {folder} is damaged: {error}") from error
    if not isinstance(state, dict):
        raise RunError(f"the checkpoint in {folder} is damaged: {_JSON} holds no state")
    return state


@contextlib.contextmanager
def restoring(folder: Path, part: str) -> Iterator[None]:
    """Turn errors from restoring a damaged state within the context into a `RunError` of one sentence.

    Raises:
        RunError: the `part` of the checkpoint in `folder` cannot be restored.
    """
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(f"the checkpoint in {folder} is damaged: its {part} cannot be put back ({what})") from error


def _digest(node: Any, tensors: bytes) -> str:
    found = hashlib.sha256(json.dumps(node).encode())
    found.update(tensors)
    return found.hexdigest()


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _present(folder: Path) -> str | None:
    try:
        return json.loads(read_regular(folder / _JSON, _LARGEST))["tensors"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
