"""The long short-term memory."""

from unroll.ops.call import Recurrence
from unroll.ops.lstm.naive import step

LSTM = Recurrence("lstm", gates=4, states=("h", "c"), step=step)
