"""The simple recurrent network of Elman, with tanh or rectified."""

from unroll.ops.call import Recurrence
from unroll.ops.elman.naive import relu, tanh

TANH = Recurrence("rnn_tanh", gates=1, states=("h",), step=tanh)
RELU = Recurrence("rnn_relu", gates=1, states=("h",), step=relu)
