"""Save and load weights as safetensors; the header is checked against the model before a tensor is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unroll.atomic_write import require_regular, write_whole
from unroll.errors import RunError, nearest

_LARGEST_HEADER = 100 * 2**20
_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.int64": "I64",
    "torch.int32": "I32",
    "torch.bool": "BOOL",
}


def without_memory(make: Callable[[], Any]) -> Any:
    """Make a model whose weights have shapes and no memory, to be loaded; initial values are not drawn.

    Drawing on the device `meta` would import PyTorch's compiler, which takes longer than PyTorch itself.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    drawing = {torch.Tensor.normal_, torch.Tensor.uniform_, torch.nn.init.normal_, torch.nn.init.uniform_}

    class Undrawn(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in drawing:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **(kwargs or {}))

    with torch.device("meta"), Undrawn():
        return make()


def write(path: Path, model: Any) -> None:
    """Write the model's state; tied tensors are written once for each name.

    Raises:
        RunError: the disk is full or the file cannot be written; the old file is intact.
    """
    from safetensors.torch import save

    state = {k: v.detach().to("cpu").contiguous().clone() for k, v in model.state_dict().items()}
    write_whole(path, save(state, metadata={"format": "pt"}))


def fit(path: Path, model: Any, config: str) -> None:
    """Load the weights into `model`, after checking every name, shape and dtype in the file's header.

    Args:
        path: the file.
        model: the model to load into.
        config: name of the file that describes the model, for error messages.

    Raises:
        RunError: the file is damaged, or is not for this model.
    """
    header = _header(path)
    expected = {k: (list(v.shape), _DTYPES.get(str(v.dtype))) for k, v in model.state_dict().items()}
    for name in sorted(expected.keys() - header.keys()):
        raise RunError(f"{path} does not fit {config}: it has no '{name}'{nearest(name, header)}")
    for name in sorted(header.keys() - expected.keys()):
        raise RunError(f"{path} does not fit {config}: the model has no '{name:.80}'{nearest(name, expected)}")
    for name, (shape, dtype) in expected.items():
        if header[name] != (shape, dtype):
            found, kind = header[name]
            raise RunError(
                f"{path} does not fit {config}: '{name}' has shape {found!s:.80} and type {kind:.20}"
                f" where the model has {shape} and {dtype}"
            )
    model.load_state_dict(read(path), assign=True)


def read(path: Path) -> dict[str, Any]:
    """Read the weights by name.

    Raises:
        RunError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _header(path)
    try:
        state = load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{path} is damaged: {error!s:.200}") from error
    for name, tensor in state.items():
        if not tensor.isfinite().all():
            raise RunError(f"{path} is damaged: '{name:.80}' holds a value that is not finite")
    return state


def _header(path: Path) -> dict[str, tuple[list[int], str]]:
    """Read names, shapes and dtypes from the header, without the tensors."""
    try:
        require_regular(path)
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
