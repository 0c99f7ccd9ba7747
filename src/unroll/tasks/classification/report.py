"""Compute metrics of classification and regression, and of a majority or mean baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from unroll.tasks.base import Report
from unroll.tasks.reporting import score_table


def single_label(
    probabilities: Float[Tensor, "N K"], targets: Tensor, names: tuple[str, ...], prior: list[float]
) -> Report:
    """Compute accuracy, precision, recall, F1 (macro, weighted, per class), ROC AUC, confusion matrix.

    Args:
        probabilities: of the K classes of the training part.
        targets: (N,) numbers of `names`.
        names: the K classes, then those that the training part did not have: the model never predicts them.
        prior: the K classes' shares in the training part: the baseline always predicts the most common class.
    """
    from torchmetrics.functional import classification as tmc

    trained, K = len(prior), len(names)
    predicted = probabilities.argmax(1)
    report: Report = {"rows": len(targets), "accuracy": (predicted == targets).double().mean().item()}
    majority = max(range(trained), key=prior.__getitem__)
    report["baseline_accuracy"] = (targets == majority).double().mean().item()
    report["baseline"] = f"always '{names[majority]}', the most common in the training part"
    figures = {
        "precision": tmc.multiclass_precision,
        "recall": tmc.multiclass_recall,
        "f1": tmc.multiclass_f1_score,
    }
    member = functional.one_hot(targets, K)
    report |= _averages(figures, predicted, targets, names, member.sum(0))
    report |= _unseen(member[:, trained:].sum(0).tolist(), names[trained:])
    report["roc_auc"] = _area(probabilities, member[:, :trained])
    report["confusion"] = tmc.multiclass_confusion_matrix(predicted, targets, K).tolist()
    return report


def multi_label(
    probabilities: Float[Tensor, "N K"], targets: Tensor, names: tuple[str, ...], prior: list[float]
) -> Report:
    """Compute exact-match and label accuracy, precision, recall, F1 (macro, weighted, per label) and ROC AUC.

    The arguments are those of `single_label`; targets (N, len(names)) are 0 or 1.
    """
    from torchmetrics.functional import classification as tmc

    targets, trained = targets.long(), len(prior)
    predicted = functional.pad((probabilities >= 0.5).long(), (0, len(names) - trained))
    guess = torch.tensor([int(p >= 0.5) for p in prior] + [0] * (len(names) - trained))
    report: Report = {
        "rows": len(targets),
        "accuracy": (predicted == targets).double().mean().item(),
        "exact_match": (predicted == targets).all(1).double().mean().item(),
        "baseline_accuracy": (guess == targets).double().mean().item(),
        "baseline": "each label's more common value in the training part",
    }
    figures = {
        "precision": tmc.multilabel_precision,
        "recall": tmc.multilabel_recall,
        "f1": tmc.multilabel_f1_score,
    }
    report |= _averages(figures, predicted, targets, names, targets.sum(0))
    report |= _unseen(targets[:, trained:].sum(0).tolist(), names[trained:])
    report["roc_auc"] = _area(probabilities, targets[:, :trained])
    return report


def _unseen(rows: Sequence[int], names: Sequence[str]) -> Report:
    """Count the rows of labels that the training part did not have."""
    return {"unseen_labels": dict(zip(names, rows, strict=True))} if names else {}


def regression(
    values: Float[Tensor, "N K"], targets: Float[Tensor, "N K"], names: tuple[str, ...], mean: list[float]
) -> Report:
    """Compute MAE and RMSE over all targets, mean R2, and all three for each target.

    R2 leaves out targets that are constant over the rows. The baseline always predicts the training mean.
    """
    import torchmetrics.functional as tm

    values, targets = values.double(), targets.double()
    guess = torch.tensor(mean, dtype=torch.float64).expand_as(targets)

    def scores(y: Tensor, t: Tensor) -> dict[str, float | None]:
        moving = [k for k in range(t.size(1)) if len(t) > 1 and t[:, k].var() > 0]
        return {
            "mae": tm.mean_absolute_error(y.flatten(), t.flatten()).item(),
            "rmse": tm.mean_squared_error(y.flatten(), t.flatten(), squared=False).item(),
            "r2": sum(tm.r2_score(y[:, k], t[:, k]).item() for k in moving) / len(moving) if moving else None,
        }

    report: Report = {"rows": len(targets), **scores(values, targets)}
    baseline = scores(guess, targets)
    report["baseline_mae"], report["baseline_rmse"] = baseline["mae"], baseline["rmse"]
    report["baseline"] = "always the training part's mean"
    if len(names) > 1:
        report["per_target"] = {n: scores(values[:, k : k + 1], targets[:, k : k + 1]) for k, n in enumerate(names)}
    return report


def _averages(
    figures: Mapping[str, Callable[..., Tensor]],
    predicted: Tensor,
    targets: Tensor,
    names: tuple[str, ...],
    rows: Tensor,
) -> Report:
    """Average each metric over the classes (macro) and by their rows (weighted), and list it per class."""
    K = len(names)
    report: Report = {}
    each: dict[str, list[float]] = {}
    for name, figure in figures.items():
        report[f"{name}_macro"] = figure(predicted, targets, K, average="macro").item()
        report[f"{name}_weighted"] = figure(predicted, targets, K, average="weighted").item()
        each[name] = figure(predicted, targets, K, average="none").tolist()
    report["per_class"] = {
        names[k]: {**{name: values[k] for name, values in each.items()}, "rows": int(rows[k])} for k in range(K)
    }
    return report


def _area(probabilities: Float[Tensor, "N K"], member: Tensor) -> float | None:
    """Compute macro one-vs-rest ROC AUC over the classes with positive and negative rows."""
    from torchmetrics.functional import classification as tmc

    both = [k for k in range(member.size(1)) if 0 < member[:, k].sum() < len(member)]
    if not both:
        return None
    areas = [tmc.binary_auroc(probabilities[:, k], member[:, k]).item() for k in both]
    return sum(areas) / len(areas)


def format_report(
    report: Report, *, per_class: bool = True, every: bool = False, advice: Sequence[str] = ()
) -> list[str]:
    """Format the report: one line per metric, with the baselines, and a table of the classes.

    `every` shows all classes, see `score_table`; `advice` lists options to try where a baseline beats the model.
    """
    shown = []
    order = ("accuracy", "exact_match", "f1_macro", "f1_weighted", "precision_macro", "recall_macro", "roc_auc")
    for name in (*order, "mae", "rmse", "r2"):
        if name not in report:
            continue
        value = "not defined" if report[name] is None else f"{report[name]:.4f}"
        base = report.get(f"baseline_{name}")
        beside = f"   ({base:.4f} for {report['baseline']})" if base is not None else ""
        shown.append(f"{name.replace('_', ' '):<16}{value}{beside}")
    for name, beside in report.get("baselines", {}).items():
        shown += _beside(report, name, beside, advice)
    if unseen := report.get("unseen_labels"):
        listed = [f"'{name}' ({rows:,})" for name, rows in unseen.items()]
        more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
        told = "rows of labels that the training data did not have count as wrong"
        shown.append(f"{told}: {', '.join(listed[:5])}{more}")
    classes = report.get("per_class", {}) if per_class else {}
    return shown + (score_table("class", classes, "rows", "rows", every=every) if classes else [])


def _beside(report: Report, name: str, baseline: Report, advice: Sequence[str]) -> list[str]:
    """Say how the model compares with a baseline, by accuracy or RMSE."""
    figure, better = ("accuracy", 1) if "accuracy" in baseline else ("rmse", -1)
    gain = better * (report[figure] - baseline[figure])
    told = f"{name}: {figure} {baseline[figure]:.4f}"
    if gain > 0:
        return [f"{told}; the model is better by {gain:.4f}"]
    if gain == 0:
        return [f"{told}; the model is as good"]
    return [f"{told}; the model loses by {-gain:.4f}", f"  try {', '.join(advice)}"]
