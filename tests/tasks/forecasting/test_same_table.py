from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.tasks.base import DataPaths
from unroll.tasks.registry import entry
from unroll.tasks.train import train_from_files
from unroll.tasks.transfer import resolve_settings

pytestmark = pytest.mark.slow

ROWS = 60
STAMPS = pd.date_range("2021-01-31", periods=ROWS, freq="D")
OPTIONS = {"epochs": 1, "hidden_size": 4, "threads": 1, "horizon": 3, "lookback": 6, "test_size": "9", "time": "day"}


def values() -> dict[str, list[float]]:
    """Two columns whose numbers have the same digits in every way of writing."""
    chance = np.random.default_rng(0)
    wave = 2000 * np.sin(np.arange(ROWS) / 5)
    return {name: np.round(wave + chance.normal(0, 300, ROWS), 2).tolist() for name in ("sales", "visits")}


def separated(delimiter: str, comma: str = ".", date: str = "%Y-%m-%d") -> Callable[[Path], None]:
    def write(path: Path) -> None:
        rows = [["day", *values()]]
        for i, stamp in enumerate(STAMPS):
            rows.append(
                [stamp.strftime(date), *(f"{column[i]:.2f}".replace(".", comma) for column in values().values())]
            )
        path.write_text("".join(delimiter.join(row) + "\n" for row in rows), encoding="utf-8")

    return write


def parquet(path: Path) -> None:
    pd.DataFrame({"day": STAMPS, **values()}).to_parquet(path, index=False)


def json_lines(path: Path) -> None:
    columns = values()
    rows = [
        {"day": f"{stamp:%Y-%m-%d}", **{name: column[i] for name, column in columns.items()}}
        for i, stamp in enumerate(STAMPS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def files_of(data: Path, folder: Path, **options: Any) -> dict[str, Any]:
    """What a run on `data` leaves, without times and without where the data was and how it was written."""
    settings = resolve_settings(entry("forecasting").load_settings(), OPTIONS | options)
    train_from_files("forecasting", DataPaths([str(data)]), settings, folder / "run", say=lambda _: None)
    found: dict[str, Any] = {}
    for path in sorted((folder / "run").iterdir()):
        if path.name == "metrics.json":
            found[path.name] = json.loads(path.read_text())
            del found[path.name]["training"]["seconds"]
        elif path.name == "config.yaml":
            text = path.read_text(encoding="utf-8")
            assert text.count(str(data)) == 1
            found[path.name] = text.replace(str(data), "DATA")
        elif path.suffix in (".json", ".safetensors") and path.name != "manifest.json":
            found[path.name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run on commas, points and ISO dates leaves."""
    folder = tmp_path_factory.mktemp("plain")
    separated(",")(folder / "table.csv")
    return files_of(folder / "table.csv", folder)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("semicolon.csv", separated(";", ",")),
        ("tab.tsv", separated("\t")),
        ("tab.csv", separated("\t", ",")),
        ("pipe.csv", separated("|")),
        ("table.parquet", parquet),
        ("table.jsonl", json_lines),
    ],
)
def test_six_formats_of_one_table_give_one_run(
    name: str, write: Callable[[Path], None], plain: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / name)
    assert files_of(tmp_path / name, tmp_path) == plain


@pytest.mark.parametrize("date", ["%d.%m.%Y", "%d-%b-%y", "%d/%m/%Y"])
def test_styles_of_dates_give_one_run(date: str, plain: dict[str, Any], tmp_path: Path) -> None:
    separated(",", date=date)(tmp_path / "table.csv")
    found = files_of(tmp_path / "table.csv", tmp_path)
    assert without_format(found) == without_format(plain)


def without_format(files: dict[str, Any]) -> dict[str, Any]:
    """The files but for the way in which the dates were written, which a run remembers."""
    kept = dict(files)
    for name in ("layout.json", "scaler.json"):
        if name in kept:
            document = json.loads(kept[name])
            for part in (document, document.get("layout", {})):
                part.pop("date_format", None)
            kept[name] = document
    return kept


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "+08:00"])
def test_one_instant_in_two_zones_gives_one_run(zone: str, tmp_path: Path) -> None:
    local = STAMPS.tz_localize("Asia/Shanghai")
    columns = values()
    found = []
    for name, stamps in {"local": local, "utc": local.tz_convert("UTC")}.items():
        folder = tmp_path / name
        folder.mkdir()
        mark = "Z" if name == "utc" else "+08:00"
        rows = [["day", *columns]]
        for i, stamp in enumerate(stamps):
            rows.append([f"{stamp:%Y-%m-%dT%H:%M:%S}{mark}", *(str(column[i]) for column in columns.values())])
        (folder / "table.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        found.append(without_format(files_of(folder / "table.csv", folder, time_zone=zone)))
    assert found[0] == found[1]
