"""The extension module with the compiled kernels: whether it is here, and on which threads it computes."""

from __future__ import annotations

import torch

from unroll.ops.openmp import addresses

kernels = None
_missing: str | None = None

try:
    import unroll._kernels as kernels
except ModuleNotFoundError:
    _missing = (
        "the compiled kernels were not built with this installation (no C++ compiler was found); "
        "install one and reinstall"
    )
except ImportError as error:  # it is here, and says why it cannot be used
    _missing = str(error)
else:
    # Two pools of threads in one process would fight for the cores.
    kernels.set_pool(*(addresses("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads") or (0, 0, 0)))
    exchange = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
    kernels.set_torch(torch.Tensor, torch.nn.Parameter, torch.empty_like, exchange)


def missing() -> str | None:
    """Why the kernels are not here, or None."""
    return _missing


def about() -> str:
    """One line for a person, with the instruction set in use."""
    return "compiled kernels" if kernels is None else f"compiled kernels ({kernels.instruction_set()})"
