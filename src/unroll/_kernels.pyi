from collections.abc import Callable
from typing import Any

from torch import Tensor

# The contract of native/: tensors come as addresses (0 is "none"), strides count elements, features lie side by side.
# Weights, states and lengths are contiguous. All numbers are float32, or float64 where `double`. Lengths are int64,
# resets bool. Either both biases are there or none.

def instruction_sets() -> list[str]:
    """Those that this processor can run, best first."""

def instruction_set() -> str:
    """The one in use: the best, or the one that the environment variable UNROLL_ISA names."""

def use(name: str, /) -> None:
    """Another one from now on."""

def set_pool(parallel: int, thread_num: int, num_threads: int, /) -> None:
    """The OpenMP to run on, by its functions; all 0: each call starts threads of its own."""

def set_torch(
    tensor: type[Tensor], parameter: type[Tensor], empty_like: Callable[[Tensor], Tensor], exchange: Any, /
) -> None:
    """What `step` knows tensors by, makes them with and looks at them by: DLPack's exchange API, or None."""

def step(
    cell: str,
    threads: int,
    layers: int,
    D: int,
    H: int,
    R: int,
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    weights: list[Tensor | None],
    /,
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """One step of a stack of layers, of tensors and not of addresses: y, h and c after it; None if one does not fit."""

def saved_width(cell: str, H: int, projected: bool = False, recompute: bool = False) -> int:
    """Elements of `saved` for each step of each row."""

def packed_bytes(*, cell: str, double: bool, D: int, H: int, R: int, w_hr: int, **more: Any) -> int:
    """Bytes of `packed` for a layer's weights; its address must be a multiple of 64."""

def pack(
    *, cell: str, double: bool, D: int, H: int, R: int, w_ih: int, w_hh: int, w_hr: int, packed: int, **more: Any
) -> None:
    """Lay the weights out in `packed`, for `forward` with the same."""

def linear_bytes(double: bool, K: int, columns: int, /) -> int:
    """Bytes of a packed matrix (columns, K); its address must be a multiple of 64."""

def pack_linear(double: bool, threads: int, K: int, columns: int, weight: int, packed: int, /) -> None:
    """Lay a matrix (columns, K) out in `packed`, for `linear`."""

def linear(
    double: bool,
    threads: int,
    rows: int,
    K: int,
    columns: int,
    x: int,
    packed: int,
    bias: int,
    out: int,
    tanh: bool,
    /,
) -> None:
    """Write out (rows, columns): x (rows, K) times the matrix, plus the bias, and tanh of it if asked."""

def attend(
    double: bool,
    threads: int,
    scale: float,
    sizes: tuple[int, int, int, int, int],
    strides: tuple[int, int, int, int],
    query: int,
    keys: int,
    values: int,
    v: int,
    owner: int,
    lengths: int,
    context: int,
    weights: int,
    scratch: int,
    /,
) -> None:
    """Write context (rows, heads * E) and weights (rows, S).

    `sizes` are rows, S, A, E and heads; `strides` those of keys and of values, by row and by step; `scratch` (rows, S).
    """

def top(double: bool, threads: int, rows: int, columns: int, k: int, x: int, values: int, places: int, /) -> None:
    """Write the k largest of each row of x (rows, columns), largest first, and their places, int64."""

def cross_entropy(
    double: bool,
    threads: int,
    rows: int,
    classes: int,
    smoothing: float,
    scores: int,
    target: int,
    nll: int,
    smoothed: int,
    log_total: int,
    /,
) -> None:
    """Write nll, smoothed and log_total, (rows,) each, of scores (rows, classes) and int64 targets within them."""

def cross_entropy_backward(
    double: bool,
    threads: int,
    rows: int,
    classes: int,
    smoothing: float,
    scores: int,
    target: int,
    log_total: int,
    d_nll: int,
    d_smoothed: int,
    gradient: int,
    /,
) -> None:
    """Write the gradient of the scores, which may take their place; either of the two given may be 0."""

def forward(
    *,
    cell: str,
    double: bool,
    reverse: bool,
    threads: int,
    recompute: bool,
    T: int,
    B: int,
    D: int,
    H: int,
    R: int,
    x: int,
    x_time: int,
    x_row: int,
    w_ih: int,
    w_hh: int,
    b_ih: int,
    b_hh: int,
    w_hr: int,
    h0: int,
    c0: int,
    lengths: int,
    resets: int,
    resets_time: int,
    resets_row: int,
    reset_h: int,
    reset_c: int,
    y: int,
    y_time: int,
    y_row: int,
    h: int,
    c: int,
    saved: int,
    packed: int = 0,
) -> None:
    """Write y, h, c and, if it is not 0, `saved`: (T * B, saved_width), of which sum(lengths) rows are touched."""

def backward(
    *,
    cell: str,
    double: bool,
    reverse: bool,
    threads: int,
    recompute: bool,
    T: int,
    B: int,
    D: int,
    H: int,
    R: int,
    x: int,
    x_time: int,
    x_row: int,
    w_ih: int,
    w_hh: int,
    b_ih: int,
    b_hh: int,
    w_hr: int,
    h0: int,
    c0: int,
    lengths: int,
    resets: int,
    resets_time: int,
    resets_row: int,
    reset_h: int,
    reset_c: int,
    y: int,
    y_time: int,
    y_row: int,
    saved: int,
    dy: int,
    dy_time: int,
    dy_row: int,
    dh: int,
    dc: int,
    dx: int,
    dx_time: int,
    dx_row: int,
    dw_ih: int,
    dw_hh: int,
    db_ih: int,
    db_hh: int,
    dw_hr: int,
    dh0: int,
    dc0: int,
    dreset_h: int,
    dreset_c: int,
) -> None:
    """Write dx, ..., dreset_c from dy, dh and dc; what stands in `saved` is lost."""
