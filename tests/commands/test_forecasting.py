from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unroll.__main__ import main
from unroll.commands import demo
from unroll.commands.air_passengers import rows

pytestmark = pytest.mark.slow

QUICK = ("--hidden-size", "8", "--epochs", "2", "--threads", "1", "--recurrence", "gru", "--batch-size", "16")


def passengers(path: Path, months: int = 144) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["month", "passengers"])
        writer.writerows(rows()[:months])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("passengers")
    passengers(folder / "all.csv")
    data = str(folder / "all.csv")
    options = ("--horizon", "6", "--test-size", "12", "--output", "normal", "--out", str(folder / "run"))
    assert main(["fit", "forecasting", data, *options, *QUICK]) == 0
    return folder


def test_a_forecast_is_told_beside_the_naive_ones(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained / "run"), str(trained / "all.csv")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("115 windows\n")
    assert "repeat last" in out
    assert "seasonal naive (12)" in out
    assert "MASE" in out
    assert "80% interval" in out
    assert out.splitlines()[-1] == "the model beats repeat last, seasonal naive (12) and Theta"
    assert main(["evaluate", str(trained / "run"), str(trained / "all.csv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["windows"] == 115
    assert report["baselines"].keys() == {"repeat_last", "seasonal_naive", "theta"}


def test_the_months_after_the_history_are_lines(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(trained / "all.csv")
    assert main(["predict", str(trained / "run"), data, "--horizon", "9", "--samples", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["month"] for line in lines] == [f"1961-0{m}-01" for m in range(1, 10)]
    assert lines[0].keys() == {
        "month", "passengers", "passengers_0.1", "passengers_0.5", "passengers_0.9", "passengers_paths"
    }  # fmt: skip
    assert len(lines[0]["passengers_paths"]) == 2


def test_a_backtest_leaves_its_folder(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained / "backtest"
    command = ["backtest", str(trained / "run"), str(trained / "all.csv")]
    assert main([*command, "--origins", "3", "--stride", "4", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("3 windows from 3 origins\n")
    assert "1959-11-01" in said
    assert "1960-07-01" in said
    assert {path.name for path in out.iterdir()} == {"forecasts.csv", "backtest.json", "backtest.png", "horizon.png"}
    assert main([*command, "--origins", "3", "--stride", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "backtest.json").read_text())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--origins", "100"], "leaves room for 20 origins every 6 rows, not 100"),
        (["--stride", "0"], "stride is 0; it must be at least 1"),
        (["--origin", "3"], "there is no option --origin; did you mean '--origins'?"),
    ],
)
def test_mistakes_in_a_backtest(
    trained: Path, capsys: pytest.CaptureFixture[str], more: list[str], sentence: str
) -> None:
    assert main(["backtest", str(trained / "run"), str(trained / "all.csv"), *more]) == 2
    assert sentence in capsys.readouterr().err


def test_mistakes_in_data(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(change, *more: str) -> str:
        lines = passengers(tmp_path / "bad.csv").read_text().splitlines()
        change(lines)
        (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
        command = ["fit", "forecasting", str(tmp_path / "bad.csv"), "--out", str(tmp_path / "run"), *QUICK, *more]
        assert main(command) == 2
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    assert "bad.csv': 1949-05-01 in rows 5 and 6" in said(lambda lines: lines.insert(6, lines[5]))
    assert "lacks 1 of 144 times of frequency MS, the first 1949-10-01" in said(lambda lines: lines.pop(10))
    assert "column 'passengers' is empty" in said(lambda lines: lines.__setitem__(4, "1949-04,"))
    assert "the horizon is 150 steps, but the series has only 144 rows" in said(lambda _: None, "--horizon", "150")
    assert "'many' in 'passengers' is no finite number" in said(lambda lines: lines.__setitem__(4, "1949-04,many"))
    assert "did you mean '--train-size'" in said(lambda _: None, "--train-sizes", "3")
    passengers(tmp_path / "short.csv", 20)
    assert main(["predict", str(trained / "run"), str(tmp_path / "short.csv")]) == 2
    assert "has 20 rows, but the model looks back on 24" in capsys.readouterr().err
    assert (
        main(
            ["predict", str(trained / "run"), str(trained / "all.csv"), "--future-covariates", str(trained / "all.csv")]
        )
        == 2
    )
    assert "the model was trained without any" in capsys.readouterr().err


def test_options_of_forecasting_are_for_forecasting_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 3, 1)), np.array([0, 1] * 10)
    np.savez(tmp_path / "data.npz", values=X, label=y)
    data, run = str(tmp_path / "data.npz"), str(tmp_path / "run")
    fit = ["fit", "classification", data, "--sequence", "values", "--out", run, *QUICK]
    assert main(fit) == 0
    capsys.readouterr()
    assert main(["predict", run, data, "--horizon", "3"]) == 2
    assert "--horizon goes with forecasting" in capsys.readouterr().err
    assert main(["backtest", run, data]) == 2
    assert "holds a classification run; backtest takes a forecasting run" in capsys.readouterr().err


def test_the_demo_forecasts_the_last_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_digits", lambda data, out: 0)
    monkeypatch.setattr(demo, "PASSENGERS", (*demo.PASSENGERS, "--epochs", "2"))
    assert main(["demo", "--out", str(tmp_path / "runs" / "demo")]) == 0
    out = capsys.readouterr().out
    assert "144 rows, from 1949-01-01 to 1960-12-01" in out
    assert "test (1 window)" in out
    assert "seasonal naive (12)" in out
    assert f"look at {tmp_path}/runs/demo-forecast/forecast.png" in out
    assert (tmp_path / "runs" / "demo-forecast" / "forecast.png").is_file()


def test_the_figures_are_those_of_the_public_file() -> None:
    assert len(rows()) == 144
    assert sum(value for _, value in rows()) == 40363
    assert rows()[0] == ("1949-01", 112)
    assert rows()[-1] == ("1960-12", 432)


def test_help_of_backtest_needs_no_torch() -> None:
    code = (
        "import sys\nfrom unroll.__main__ import main\ntry:\n main(['backtest', '--help'])\nexcept SystemExit: pass\n"
        "try:\n main(['fit', 'forecasting', '--help'])\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("False")
