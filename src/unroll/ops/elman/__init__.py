"""The simple recurrent network of Elman, with tanh or rectified."""

from unroll.ops.elman.naive import relu, tanh
from unroll.ops.gated import gated

TANH = gated("rnn_tanh", 1, {"h": 0.0}, tanh)
RELU = gated("rnn_relu", 1, {"h": 0.0}, relu)
