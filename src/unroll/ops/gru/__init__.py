"""The gated recurrent unit, in both of its forms."""

from unroll.ops.gated import gated
from unroll.ops.gru.naive import reset_after, reset_before

# The gate z keeps the state, and 1 - z lets the candidate in.
RESET_AFTER = gated("gru", 3, {"h": 0.0}, reset_after, forget_gate=1)
RESET_BEFORE = gated("gru_reset_before", 3, {"h": 0.0}, reset_before, forget_gate=1)
