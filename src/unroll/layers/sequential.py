"""Chain recurrent layers of different widths or kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unroll.errors import OptionError
from unroll.layers.input_forms import Lengths, Resets
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.step import Used

State = tuple[Any, ...]
"""The parts' states, in order."""


class RecurrentSequential(nn.Module):
    """Run recurrent layers of different widths or kinds in sequence, each on the outputs of the one before.

    Call it like a `RecurrentLayer`: `y, states = chain(x, states, lengths=..., resets=...)`, or `chain.step`. The
    state is the tuple of the parts' states. For dropout between two parts set the second one's `input_dropout`.

    Args:
        parts: `RNN`, `LSTM` and `GRU` modules, each as wide as the output of the one before; submodules "0", "1", ...

    Raises:
        OptionError: there are no parts, or two adjacent parts do not fit.
    """

    def __init__(self, parts: Sequence[RecurrentLayer]) -> None:
        super().__init__()
        if not parts:
            raise OptionError("a chain needs at least one part")
        for k, part in enumerate(parts):
            if part.batch_first != parts[0].batch_first:
                raise OptionError(f"part {k} of the chain has batch_first={part.batch_first}, unlike part 0")
            if k > 0 and part.input_size != parts[k - 1].features:
                raise OptionError(
                    f"part {k} of the chain takes {part.input_size} features, but part {k - 1} gives "
                    f"{parts[k - 1].features}"
                )
            self.add_module(str(k), part)
        self.input_size = parts[0].input_size
        self.features = parts[-1].features
        self.batch_first = parts[0].batch_first
        self.bidirectional = any(part.bidirectional for part in parts)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[RecurrentLayer]:
        return iter(self._modules.values())  # type: ignore[arg-type]  # nothing else is added

    def __getitem__(self, k: int) -> RecurrentLayer:
        return list(self)[k]

    @property
    def used(self) -> tuple[Used, ...]:
        """The backends that served the last call, as `RecurrentLayer.used`; each once."""
        return tuple({repr(used): used for part in self for used in part.used}.values())

    def reset_parameters(self) -> None:
        """Reset the parameters of every part."""
        for part in self:
            part.reset_parameters()

    def flatten_parameters(self) -> None:
        """Do nothing, as `RecurrentLayer.flatten_parameters`."""

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002  # torch.nn's name for it
        state: Sequence[Any] | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Resets | None = None,
    ) -> tuple[Any, State]:
        """Run over whole sequences: see `RecurrentLayer.forward`.

        Args:
            input: as for the first part.
            state: a state for each part; None, for all or for one part: the part's default initial state.
            lengths: as `RecurrentLayer.forward`.
            resets: as `RecurrentLayer.forward`.

        Returns:
            The outputs of the last part, and the tuple of final states.

        Raises:
            OptionError: the number of states differs from that of the parts; and all that the parts raise.
        """
        y: Any = input
        given = {"lengths": lengths, "resets": resets}
        given = {name: value for name, value in given.items() if value is not None}  # parts of torch.nn have neither
        ends = []
        for part, start in zip(self, self._states(state), strict=True):
            y, end = part(y, start, **given)
            ends.append(end)
        return y, tuple(ends)

    def step(self, x_t: Tensor, state: Sequence[Any] | None = None) -> tuple[Tensor, State]:
        """Run one step of a stream: see `RecurrentLayer.step`.

        Raises:
            OptionError: as `forward`, and as `step` of the parts.
        """
        y = x_t
        ends = []
        for part, start in zip(self, self._states(state), strict=True):
            y, end = part.step(y, start)
            ends.append(end)
        return y, tuple(ends)

    def _states(self, state: Sequence[Any] | None) -> Sequence[Any]:
        if state is None:
            return (None,) * len(self)
        if not isinstance(state, (tuple, list)) or len(state) != len(self):
            got = f"{len(state)}" if isinstance(state, (tuple, list)) else type(state).__name__
            raise OptionError(f"a chain of {len(self)} parts takes a tuple of {len(self)} states, got {got}")
        return state
