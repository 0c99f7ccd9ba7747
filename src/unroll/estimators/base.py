"""Base class of estimators: parameters from options, a fitted task and model, saving and loading of runs."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from unroll.data.options import SourceOptions
from unroll.errors import OptionError, RunError, nearest
from unroll.options import help_texts
from unroll.runs import METRICS, Run
from unroll.tasks.base import TrainingData
from unroll.tasks.refit import check_refit
from unroll.tasks.registry import entry, run_files
from unroll.tasks.settings import Settings
from unroll.tasks.train import new_model, train
from unroll.training.errors import Interrupted
from unroll.weights import without_memory

E = TypeVar("E", bound=type)


def takes(settings: type[Settings], *without: str) -> Callable[[E], E]:
    """Add an `__init__` to a class with a keyword parameter for each option of a task, as scikit-learn requires.

    File options and those in `without` are not parameters; `random_state` and `verbose` are added. The docstring gets
    a line for each.
    """
    texts = {"random_state": "Seed in place of `seed`, by scikit-learn's name.", "verbose": "Show the training."}
    defaults: dict[str, Any] = {}
    for group in settings.groups():
        if group is SourceOptions:
            continue
        texts |= help_texts(group)
        defaults |= {f.name: f.default for f in fields(group) if f.name not in (*without, *settings.excluded)}
    defaults |= {"random_state": None, "verbose": False}

    def decorate(cls: E) -> E:
        def __init__(self: Any, **given: Any) -> None:  # noqa: N807 (it becomes the method)
            for name in given:
                if name not in defaults:
                    raise TypeError(
                        f"{cls.__name__}() got an unexpected keyword argument '{name}'{nearest(name, defaults)}"
                    )
            for name, default in defaults.items():
                setattr(self, name, given.get(name, default))

        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        rest = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in defaults.items()]
        __init__.__signature__ = inspect.Signature([me, *rest])  # pyright: ignore[reportFunctionMemberAccess]
        cls.__init__ = __init__  # pyright: ignore[reportAttributeAccessIssue] (any signature will do)
        lines = [
            f"    {name} (default {default!r}): {' '.join(texts[name].split())}" for name, default in defaults.items()
        ]
        cls.__doc__ = "\n".join([inspect.cleandoc(cls.__doc__ or ""), "", "Parameters:", *lines])
        return cls

    return decorate


class Estimator(BaseEstimator):
    """Base class of estimators: train a prepared task and keep the result.

    Attributes:
        task_, model_: the fitted task, which encodes and decodes, and the trained model.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: warnings of the training monitor.
        n_iter_: number of epochs.
    """

    _task_name: ClassVar[str]
    verbose: bool
    random_state: int | None
    task_: Any
    model_: Any

    if TYPE_CHECKING:

        def __init__(self, **parameters: Any) -> None: ...

    @classmethod
    def load(cls, path: str | Path, *, trust_changed: bool = False) -> Self:
        """Load a fitted estimator from a run folder, written by `unroll fit` or `save`.

        Args:
            path: the folder.
            trust_changed: load the run even if its files were changed after it was written, for example edited by hand.

        Raises:
            RunError: the folder is missing, unfinished, changed or damaged, or holds another kind of task.
        """
        run = Run.open(path, trust_changed=trust_changed)
        name = run.config()["task"]
        if name != cls._task_name:
            raise RunError(f"{path} holds a {name} run; {cls.__name__} reads {cls._task_name} runs")
        task = entry(name).load_task().from_run(run)
        model = without_memory(task.network)
        run.read_weights(model)
        known = inspect.signature(cls).parameters
        self = cls(**{option: value for option, value in task.settings.flat().items() if option in known})
        training = run.read_json(METRICS).get("training", {})
        self.task_, self.model_ = task, model.eval()
        self.history_, self.warnings_ = training.get("history", []), tuple(training.get("warnings", ()))
        self.n_iter_ = training.get("epochs", len(self.history_))
        self._loaded()
        return self

    def _loaded(self) -> None:
        """Set the attributes that `fit` sets in addition to the task and the model."""

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Save the fitted model as a run folder, for the command line and `unroll.load`.

        Raises:
            RunError: the folder holds something else, or a run and `overwrite` is off.
        """
        check_is_fitted(self)
        files = run_files()
        run = Run.claim(path, files=files, overwrite=overwrite)
        with run.writing():
            Run.claim(path, files=files, overwrite=overwrite, held=True).begin()  # another may have claimed it
            self.task_.save(run)
            run.write_config(self.task_.name, self.task_.settings.flat(), {"data": [], "valid": [], "test": []})
            run.write_json(METRICS, {"training": {"history": self.history_, "warnings": self.warnings_}})
            run.write_weights(self.model_)
            run.finish(entry(self.task_.name).state)
        return run.path

    def _options(self, **own: Any) -> dict[str, Any]:
        """Return the parameters that differ from their defaults as flat options, with `own` added."""
        standard = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        set_to = {k: v for k, v in self.get_params(deep=False).items() if k not in ("verbose", "random_state")}
        if self.random_state is not None:
            if type(self.random_state) is not int:
                raise OptionError(f"random_state is {self.random_state!r:.60}; give a whole number, the same as seed")
            if set_to["seed"] not in (standard["seed"], self.random_state):
                raise OptionError("seed and random_state are both given; they are two names of one thing")
            own |= {"seed": self.random_state}
        return {k: v for k, v in set_to.items() if type(v) is not type(standard[k]) or v != standard[k]} | own

    def _train(self, prepared: TrainingData) -> None:
        with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory(prefix="unroll-") as folder:
            model = new_model(prepared)
            try:
                check_refit(prepared)
                outcome, final = train(prepared, model, Path(folder), quiet=not self.verbose)
            except Interrupted:
                raise KeyboardInterrupt from None
        self.task_ = prepared.task
        first = model.cpu().eval()
        self.model_ = first if final is None else final.model.cpu().eval()
        self.task_.calibrate(first, prepared, self.model_)
        self.history_ = outcome.history
        self.warnings_ = outcome.warnings
        self.n_iter_ = len(outcome.history)
