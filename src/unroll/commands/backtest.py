"""`unroll backtest`: evaluate a forecaster at successive past origins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unroll.commands.arguments import Parser, aside, written
from unroll.commands.output import json_text
from unroll.errors import OptionError


def main(arguments: Sequence[str]) -> int:
    """Backtest a forecaster without training, and print the metrics by origin and by step."""
    parser = Parser(
        "unroll backtest",
        "unroll backtest RUN DATA [DATA ...] [--origins N] [--stride N] [--out FOLDER] [--json]",
        "What a forecaster would have said at one time after the other, beside what came and what costs nothing. Each"
        " forecast is made from the rows before its origin; nothing is trained.",
    )
    parser.add_run("The run folder of a forecasting run.")
    parser.add_argument("data", nargs="+", metavar="DATA", help="Series with the columns of the training data.")
    parser.add_value("--origins", int, "Forecasts of each series, the last ones (else what fits, up to 10).")
    parser.add_value("--stride", int, "Rows from one origin to the next (else the horizon).")
    parser.add_argument(
        "--out", metavar="FOLDER", help="Folder for forecasts.csv, backtest.json, backtest.png and horizon.png."
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_source()
    given = parser.read(arguments)

    from unroll.serving.forecaster import ForecastPredictor
    from unroll.serving.predictor import load
    from unroll.tasks.forecasting.backtest import backtest, lines, write

    predictor = load(given.run, trust_changed=given.trust_changed)
    predictor.written = written(given)
    if not isinstance(predictor, ForecastPredictor):
        raise OptionError(f"{given.run} holds a {predictor.task.name} run; backtest takes a forecasting run")
    task = predictor.task
    frames = task.read_new(given.data, predictor.source(given.skip_bad_rows, given.encoding), aside)
    result = backtest(task, predictor.model, frames, origins=given.origins, stride=given.stride)
    for note in result.notes:
        aside(note)
    if given.out is not None:
        write(result, task, Path(given.out))
    if given.json:
        print(json_text(result.report, indent=2))
    else:
        print(f"{result.report['windows']:,} windows from {len(result.report['by_origin'])} origins")
        print("\n".join(lines(result.report)))
        if given.out is not None:
            print(f"\neverything is in {given.out}")
    return 0
