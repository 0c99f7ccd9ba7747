"""Settings of a task: all options, in groups or as one flat mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

from unroll.data.options import BatchOptions, SourceOptions
from unroll.errors import OptionError, nearest
from unroll.options import build, check_types, flatten
from unroll.runs import CONFIG, Run
from unroll.training.options import TrainingOptions


@dataclass(frozen=True)
class TransferOptions:
    """Starting from a pre-trained run."""

    init_from: str = ""
    """A run folder to start from, such as a language model's: its vocabulary, embedding vectors and recurrent layers
    are taken over; sizes that are not given become its."""

    trust_changed: bool = False
    """Start from it though its files are not as they were written, such as one that was edited by hand."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.trust_changed and not self.init_from:
            raise OptionError("trust_changed is set, but it goes with init_from")


@dataclass(frozen=True)
class Settings:
    """Hold all option groups of a task; subclasses add task-specific groups."""

    source: SourceOptions = SourceOptions()
    batch: BatchOptions = BatchOptions()
    training: TrainingOptions = TrainingOptions()
    given: frozenset[str] = field(default=frozenset(), compare=False)
    """Options that were given rather than left at their defaults."""

    option_order: ClassVar[tuple[str, ...]] = ()
    """Fields that come first in help and files."""
    common: ClassVar[tuple[str, ...]] = ()
    """The most used options; help shows these first."""
    excluded: ClassVar[tuple[str, ...]] = ()
    """Options of the groups that do not apply to this task: neither shown nor accepted."""
    reads_plain_text: ClassVar[bool] = False
    """Whether a file of no known format is read as plain text."""
    pretrained_overrides: ClassVar[Mapping[str, tuple[Any, str]]] = {}
    """Options that have a fixed value with `init_from`, and why."""

    @classmethod
    def _order(cls) -> list[str]:
        names = [f.name for f in fields(cls) if f.name != "given"]
        rest = [n for n in names if n not in ("batch", "training", *cls.option_order)]
        return [*cls.option_order, *rest, "batch", "training"]

    @classmethod
    def groups(cls) -> tuple[type, ...]:
        """List the option dataclasses, in display order."""
        standard = {f.name: type(f.default) for f in fields(cls) if f.name != "given"}
        return tuple(standard[name] for name in cls._order())

    @classmethod
    def from_flat(cls, values: Mapping[str, Any], where: str = "options", *, every: bool = False) -> Self:
        """Build settings from a flat mapping; missing options keep their defaults.

        Args:
            values: by name.
            where: name of the source in messages.
            every: require all options, as in a run's config.yaml.

        Raises:
            OptionError: an unknown name, a value that an option refuses, or (with `every`) an option is missing.
        """
        for name in cls.excluded:
            if name in values:
                known = [n for n in cls().flat() if n != name]
                raise OptionError(f"{where}: there is no option '{name}' for this task{nearest(name, known)}")
        groups: dict[str, Any] = dict(zip(cls._order(), build(cls.groups(), values, where), strict=True))
        settings = cls(**groups, given=frozenset(values))
        if every and (missing := [name for name in settings.flat() if name not in values]):
            raise OptionError(
                f"{where}: the option '{missing[0]}' is missing, and a run's options are all there; the file was cut"
                " off or edited, or is of another version of unroll"
            )
        return settings

    @classmethod
    def of_run(cls, run: Run) -> tuple[str, Self]:
        """Read a run's task name and settings from config.yaml.

        Raises:
            UserError: config.yaml is damaged, or an option is missing, unknown or refused.
        """
        config = run.config()
        return config["task"], cls.from_flat(config["options"], str(run.path / CONFIG), every=True)

    def columns(self) -> tuple[str, ...]:
        """Name the columns that the data must have, as far as the options tell."""
        return ()

    def aligned(self) -> tuple[str, ...]:
        """Name the ends of the names of plain text files that are aligned line by line, if the task reads such."""
        return ()

    def flat(self) -> dict[str, Any]:
        """Return all options as one flat mapping."""
        every = flatten([getattr(self, name) for name in self._order()])
        return {name: value for name, value in every.items() if name not in self.excluded}

    def set_by_user(self) -> frozenset[str]:
        """Name the options that were given, or that differ from their defaults."""
        return self.given | self.changed().keys()

    def with_chosen(self, options: Mapping[str, Any]) -> Self:
        """Return the settings with options that the program chose; they do not count as given."""
        return replace(type(self).from_flat(self.flat() | dict(options)), given=self.given)

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        standard = type(self)().flat()
        return {name: value for name, value in self.flat().items() if value != standard[name]}

    def refuse(self, unused: Mapping[str, str]) -> None:
        """Reject options that were set but are unused: name -> what they go with.

        Raises:
            OptionError: naming the option.
        """
        changed = self.changed()
        for name, users in unused.items():
            if name in changed:
                raise OptionError(f"{name} is set, but it goes with {users}")
