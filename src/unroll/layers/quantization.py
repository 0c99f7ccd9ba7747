"""Refuse or warn when `torch.ao.quantization` meets one of our layers."""

from __future__ import annotations

import warnings
from typing import Any

from unroll.errors import OptionError


def check_quantization(layer: str, qconfig: Any) -> None:
    """Report that the layer cannot be quantized: PyTorch looks layers up by their exact type.

    Raises:
        OptionError: `qconfig` asks for quantization. Without one (the layer stays in float, on purpose or not) there
            is only a warning.
    """
    way_out = f"quantize unroll.layers.twins.to_torch(model), in which it is torch.nn.{layer}"
    if qconfig is not None:
        raise OptionError(f"torch.ao.quantization cannot quantize unroll.{layer}; {way_out}")
    warnings.warn(f"torch.ao.quantization leaves unroll.{layer} as it is; {way_out}", stacklevel=4)
