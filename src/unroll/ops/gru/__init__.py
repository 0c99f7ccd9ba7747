"""The gated recurrent unit, in both of its forms."""

from unroll.ops.call import Recurrence
from unroll.ops.gru.naive import reset_after, reset_before

RESET_AFTER = Recurrence("gru", gates=3, states=("h",), step=reset_after)
RESET_BEFORE = Recurrence("gru_reset_before", gates=3, states=("h",), step=reset_before)
