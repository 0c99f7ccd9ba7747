"""The long short-term memory."""

from unroll.ops.gated import gated
from unroll.ops.lstm.naive import step

LSTM = gated("lstm", 4, {"h": 0.0, "c": 0.0}, step, projects=True, forget_gate=1, input_gate=0)
