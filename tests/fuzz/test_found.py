"""The smallest inputs of what the fuzzer has found, with the right value or the refusal."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzzing.oracle import Outcome, attempt

from unroll.data.files.dataset import read
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import read_frames
from unroll.runs import Run

pytestmark = pytest.mark.slow

ODD_YAML = {
    "5,000 digits": "9" * 5000,
    "3,000 brackets": "[" * 3000,
    "no date": "2001-99-99",
    "no integer": "!!int abc",
    "no float": "!!float x",
    "no truth": "!!bool x",
    "no time": "!!timestamp x",
}


def refused(action: Callable[[], Any]) -> str:
    """The sentence with which `action` is refused."""
    outcome = attempt(action)
    assert not outcome.answered, outcome.value
    return str(outcome.refusal)


def rows_of(path: Path, content: bytes) -> Outcome:
    path.write_bytes(content)
    return attempt(lambda: list(read(str(path))))


@pytest.mark.parametrize("value", ODD_YAML.values(), ids=ODD_YAML)
def test_a_config_with_a_value_that_yaml_cannot_read_is_refused(value: str, tmp_path: Path) -> None:
    from unroll.commands.fit import parser

    (tmp_path / "options.yaml").write_text(f"hidden: {value}\n")
    line = ["x.csv", "--out", "run", "--config", str(tmp_path / "options.yaml")]
    assert "options.yaml" in refused(lambda: parser("classification").read(line))


@pytest.mark.parametrize("value", [value for value in ODD_YAML.values() if value != "2001-99-99"])  # which is a text
def test_a_run_with_a_value_that_yaml_cannot_read_is_refused(value: str, tmp_path: Path) -> None:
    head = "format: 1\nunroll: 0.1.0\ntask: classification\nsources: {}\n"
    (tmp_path / "config.yaml").write_text(f"{head}options:\n  hidden: {value}\n")
    assert "config.yaml" in refused(lambda: Run.open(tmp_path, finished=False).config())


@pytest.mark.parametrize("value", ["!!timestamp x", "!!bool x", "[" * 3000, "[9" + "9" * 5000 + "]"])
def test_a_flag_with_a_value_that_yaml_cannot_read_is_refused_or_text(value: str) -> None:
    from unroll.commands.fit import parser

    outcome = attempt(lambda: parser("forecasting").read(["x.csv", "--out", "run", f"--future-covariates={value}"]))
    assert not outcome.answered or outcome.value.future_covariates == (value,)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "pipe", "itself"])
@pytest.mark.parametrize("name", ["config.yaml", "labels.json", "model.safetensors"])
def test_a_file_of_a_run_that_is_no_file_is_refused_at_once(name: str, device: str, tmp_path: Path) -> None:
    import unroll

    run = tmp_path / "run"
    texts, labels = ["good a", "bad b"] * 10, ["p", "n"] * 10
    unroll.Classifier(hidden_size=2, embedding_dim=2, epochs=1, min_freq=1, threads=1).fit(texts, labels).save(run)
    (run / name).unlink()
    if device == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(name if device == "itself" else device)
    refused(lambda: unroll.load(run))


def test_columns_parted_by_bars_are_columns(tmp_path: Path) -> None:
    outcome = rows_of(tmp_path / "t.csv", b"id|y\nit's <br>|84.21\na, b|1\n")
    assert outcome.value == [{"id": "it's <br>", "y": "84.21"}, {"id": "a, b", "y": "1"}]


def test_a_semicolon_table_with_a_comma_in_its_header_is_parted_by_semicolons(tmp_path: Path) -> None:
    outcome = rows_of(tmp_path / "t.csv", b"id;price, EUR;x\na, b;88.18;93.52\nc;1,5;-2\n")
    assert [row["price, EUR"] for row in outcome.value] == ["88.18", "1,5"]


def test_quotes_within_semicolons_are_not_judged_by_the_commas_of_the_header(tmp_path: Path) -> None:
    outcome = rows_of(tmp_path / "t.csv", b'a;"price, EUR"\n"say ""no"", she";1,5\n')
    assert outcome.value == [{"a": 'say "no", she', "price, EUR": "1,5"}]


def test_a_column_name_of_a_nul_is_refused(tmp_path: Path) -> None:
    assert "t.csv" in str(rows_of(tmp_path / "t.csv", b"a,\x00,b\n1,2,3\n").refusal)


@pytest.mark.parametrize("comment", ["# newdoc", "# id 123 domain=en", "#", "# sent_id = 1"])
def test_comments_in_column_files_are_no_tokens(comment: str, tmp_path: Path) -> None:
    content = f"# sent_id = 1\nAnn B-PER\n# O\n. O\n\n{comment}\nRome B-LOC\n"
    outcome = rows_of(tmp_path / "t.conll", content.encode())
    assert [row["tokens"] for row in outcome.value] == [["Ann", "#", "."], ["Rome"]]


def saved(folder: Path, **arrays: np.ndarray) -> Outcome:
    np.savez(folder / "t.npz", **arrays)
    return attempt(lambda: read(str(folder / "t.npz")).to_dict())


def test_offsets_of_sequences_of_one_step_are_offsets(tmp_path: Path) -> None:
    outcome = saved(tmp_path, ragged=np.array([5, 6]), offsets=np.array([0, 1, 2]))
    assert outcome.value["ragged"] == [[5], [6]]


def test_bytes_that_are_not_utf_8_do_not_become_one_label(tmp_path: Path) -> None:
    assert "label" in str(saved(tmp_path, label=np.array([b"\xe9\xff", b"\xea\xff"])).refusal)


@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_long_doubles_are_read_or_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    outcome = saved(tmp_path, x=np.full(shape, 1.5, np.longdouble))
    assert not outcome.answered or outcome.value["x"] == np.full(shape, 1.5).tolist()


@pytest.mark.parametrize("header", ["{'descr': (", "{'descr': f8, 'x': y}", "{", r"{'descr': '\p'}"])
def test_an_array_with_a_damaged_header_is_refused(header: str, tmp_path: Path) -> None:
    text = header.encode().ljust(53) + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", member)
    assert "x" in refused(lambda: read(str(tmp_path / "t.npz")))


def test_a_parquet_column_of_maps_is_read_or_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))}), tmp_path / "t.parquet")
    outcome = attempt(lambda: list(read(str(tmp_path / "t.parquet"))))
    assert outcome.answered or "'m'" in str(outcome.refusal)


def test_a_parquet_file_with_any_byte_changed_is_read_or_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"é": ["a", "b"], "n": [1, 2]}), out, compression="none")
    sound = out.getvalue()
    path = tmp_path / "t.parquet"
    for at in range(len(sound) - 300, len(sound), 3):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        attempt(lambda: list(read(str(path))))


def series(path: Path, times: list[str], numbers: list[str], name: str = "open time") -> Outcome:
    rows = [f"{time};{number}" for time, number in zip(times, numbers, strict=True)]
    path.write_text("\n".join([f"{name};price", *rows]), encoding="utf-8")
    return attempt(lambda: read_frames(str(path), TimeSeriesOptions(time=name, target=("price",))))


@pytest.mark.parametrize("unit", [1, 1000])
def test_unix_times_are_times(unit: int, tmp_path: Path) -> None:
    times = [str((1626307200 + 900 * i) * unit) for i in range(4)]
    frames = series(tmp_path / "t.csv", times, ["1.5", "2", "3", "4"]).value
    stamps = frames.series[0].stamps
    assert stamps.dtype == "M8[ns]"
    assert stamps[:2].astype("M8[s]").astype(str).tolist() == ["2021-07-15T00:00:00", "2021-07-15T00:15:00"]


@pytest.mark.parametrize("blank", ["\u202f", "\xa0", " ", "'"])
def test_numbers_in_groups_are_numbers(blank: str, tmp_path: Path) -> None:
    times = [f"2021-01-0{i}" for i in range(1, 5)]
    frames = series(tmp_path / "t.csv", times, [f"12{blank}144.34", "-1.26", f"\u2212{81}{blank}996.02", "2"]).value
    assert frames.series[0].target[:, 0].tolist() == [12144.34, -1.26, -81996.02, 2.0]


def test_a_sentence_about_bad_rows_stays_a_sentence(tmp_path: Path) -> None:
    times = ["no time at all, but a long text that goes on and on and on"] * 9
    assert "row 1" in str(series(tmp_path / "t.csv", times, ["no number, but a text as long as that"] * 9).refusal)
