"""What `torch.ao.quantization` is told when it comes to one of our layers."""

from __future__ import annotations

import warnings
from typing import Any

from unroll.errors import OptionError


def check_quantization(layer: str, qconfig: Any) -> None:
    """Say that the layer is not quantized: PyTorch's table of what can be goes by the exact type.

    Raises:
        OptionError: it was to be quantized. Where it is left in float, which may or may not be meant, there is a
            warning: PyTorch asks in the same way then.
    """
    way_out = f"quantize unroll.layers.twins.to_torch(model), in which it is torch.nn.{layer}"
    if qconfig is not None:
        raise OptionError(f"torch.ao.quantization cannot quantize unroll.{layer}; {way_out}")
    warnings.warn(f"torch.ao.quantization leaves unroll.{layer} as it is; {way_out}", stacklevel=4)
