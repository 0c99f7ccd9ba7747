"""What every estimator has: parameters from options, a fitted task and model, and a way to a run folder."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from unroll.data.options import SourceOptions
from unroll.options import defaults
from unroll.runs import METRICS, Run
from unroll.tasks.base import TrainingData
from unroll.tasks.registry import entry, run_files
from unroll.tasks.settings import Settings
from unroll.tasks.train import new_model, train
from unroll.training.errors import Interrupted

E = TypeVar("E", bound=type)


def takes(parameters: Mapping[str, Any]) -> Any:
    """Give a class an `__init__` whose keyword parameters are `parameters`, as scikit-learn wants to read them."""

    def decorate(cls: E) -> E:
        def __init__(self: Any, **given: Any) -> None:  # noqa: N807 (it becomes the method)
            for name in given:
                if name not in parameters:
                    raise TypeError(f"{cls.__name__}() got an unexpected keyword argument '{name}'")
            for name, default in parameters.items():
                setattr(self, name, given.get(name, default))

        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        rest = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in parameters.items()]
        __init__.__signature__ = inspect.Signature([me, *rest])  # pyright: ignore[reportFunctionMemberAccess]
        cls.__init__ = __init__  # pyright: ignore[reportAttributeAccessIssue] (any signature will do)
        return cls

    return decorate


def parameters(settings: type[Settings], *without: str) -> dict[str, Any]:
    """An estimator's parameters and their defaults: a task's options but those of files and those `without`.

    There is `verbose` beside them.
    """
    found = defaults([group for group in settings.groups() if group is not SourceOptions])
    return {k: v for k, v in found.items() if k not in (*without, *settings.excluded)} | {"verbose": False}


class Estimator(BaseEstimator):
    """Fitting a prepared task and keeping what came of it.

    Attributes:
        task_, model_: what encodes and decodes, and the trained model.
        history_: a mapping for each epoch: losses and metrics.
        warnings_: what the watch over the training had to say.
        n_iter_: epochs.
    """

    verbose: bool
    task_: Any
    model_: torch.nn.Module

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the fitted model as a run folder, which the command line and `unroll.load` use.

        Raises:
            RunError: the folder holds something else, or a run and `overwrite` is off.
        """
        check_is_fitted(self)
        files = run_files()
        run = Run.claim(path, files=files, overwrite=overwrite)
        with run.writing():
            Run.claim(path, files=files, overwrite=overwrite, held=True).begin()  # another may have come since
            self.task_.save(run)
            run.write_config(self.task_.name, self.task_.settings.flat(), {"data": [], "valid": [], "test": []})
            run.write_json(METRICS, {"training": {"history": self.history_, "warnings": self.warnings_}})
            run.write_weights(self.model_)
            run.finish(entry(self.task_.name).state)
        return run.path

    def _options(self, **own: Any) -> dict[str, Any]:
        """The parameters that are not at their defaults, as flat options, and `own` beside them."""
        standard = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        set_to = {k: v for k, v in self.get_params(deep=False).items() if k != "verbose"}
        return {k: v for k, v in set_to.items() if type(v) is not type(standard[k]) or v != standard[k]} | own

    def _train(self, prepared: TrainingData) -> None:
        with torch.random.fork_rng(devices=[]), tempfile.TemporaryDirectory(prefix="unroll-") as folder:
            model = new_model(prepared)
            try:
                outcome = train(prepared, model, Path(folder), quiet=not self.verbose)
            except Interrupted:
                raise KeyboardInterrupt from None
        self.task_ = prepared.task
        self.model_ = model.cpu().eval()
        self.history_ = outcome.history
        self.warnings_ = outcome.warnings
        self.n_iter_ = len(outcome.history)
