from __future__ import annotations

import re
from pathlib import Path

import pytest

from unroll.__main__ import main
from unroll.commands.arguments import Parser
from unroll.commands.fit import parser as fit_parser
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.errors import OptionError
from unroll.options import defaults
from unroll.tasks.registry import TASKS, entry

pytestmark = pytest.mark.slow


def read(*arguments: str) -> TimeSeriesOptions:
    parser = Parser("unroll", "unroll", "")
    parser.add_options([TimeSeriesOptions])
    return TimeSeriesOptions(**parser.read(arguments).as_dict())


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("sales", ("sales",)),
        ("sales,price", ("sales", "price")),
        ("sales, price,", ("sales", "price")),
        ("[sales, price]", ("sales", "price")),
        ('["sales, gross"]', ("sales, gross",)),
        ("1", ("1",)),
        ("销量", ("销量",)),
        ("", ()),
    ],
)
def test_names_of_columns(given: str, target: tuple[str, ...]) -> None:
    assert read("--target", given).target == target


@pytest.mark.parametrize("given", ["[sales", "[[sales]]", "[1, 2]"])
def test_what_is_no_list_of_texts(given: str) -> None:
    with pytest.raises(OptionError) as error:
        read("--target", given)
    assert str(error.value) == f"--target: '{given}' is no list of texts, such as a,b or [a, b]"


@pytest.mark.parametrize(
    ("given", "option", "read"),
    [
        (("--conv-kernel-sizes", "3,5"), "conv_kernel_sizes", (3, 5)),
        (("--conv-kernel-sizes", "5"), "conv_kernel_sizes", (5,)),
        (("--conv-kernel-sizes=[3, 5]",), "conv_kernel_sizes", (3, 5)),
    ],
)
def test_lists_of_whole_numbers(given: tuple[str, ...], option: str, read: tuple[int, ...]) -> None:
    assert fit_parser("classification").read(["data", "--out", "run", *given])[option] == read


@pytest.mark.parametrize(
    ("given", "read"),
    [("0.1,0.5,0.9", (0.1, 0.5, 0.9)), ("0.5", (0.5,)), ("[0.1, 5e-1]", (0.1, 0.5)), (".25, .75,", (0.25, 0.75))],
)
def test_lists_of_numbers(given: str, read: tuple[float, ...]) -> None:
    assert fit_parser("forecasting").read(["data", "--out", "run", "--quantiles", given])["quantiles"] == read


def test_cutoffs_are_parted_by_commas() -> None:
    found = fit_parser("language-model").read(["data", "--out", "run", "--cutoffs", "2000,10000"])
    assert found["cutoffs"] == (2000, 10000)


@pytest.mark.parametrize(
    ("task", "flag", "given", "wanted"),
    [
        ("forecasting", "--quantiles", "low", "numbers, such as 0.1,0.5"),
        ("forecasting", "--quantiles", "[0.1,0.5", "numbers, such as 0.1,0.5"),
        ("classification", "--conv-kernel-sizes", "3,5.5", "whole numbers, such as 3,5"),
        ("classification", "--conv-kernel-sizes", "3 5", "whole numbers, such as 3,5"),
    ],
)
def test_what_is_no_list_of_numbers(task: str, flag: str, given: str, wanted: str) -> None:
    with pytest.raises(OptionError) as error:
        fit_parser(task).read(["data", "--out", "run", flag, given])
    assert str(error.value) == f"{flag}: '{given}' is no list of {wanted}"


def test_a_list_of_numbers_in_a_file(tmp_path: Path) -> None:
    for text, read in (("[3, 5]", (3, 5)), ("5", (5,))):
        (tmp_path / "o.yaml").write_text(f"conv_kernel_sizes: {text}\n")
        found = fit_parser("classification").read(["data", "--out", "run", "--config", str(tmp_path / "o.yaml")])
        assert found["conv_kernel_sizes"] == read
    (tmp_path / "o.yaml").write_text("conv_kernel_sizes: 3,5x\n")
    with pytest.raises(OptionError, match=r"conv_kernel_sizes is '3,5x'; it must be a list, such as \[3, 5\]"):
        fit_parser("classification").read(["data", "--out", "run", "--config", str(tmp_path / "o.yaml")])


def test_what_was_given_is_told_from_what_is_so_by_default(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("num_layers: 1\nbatch-size: 8\n")
    parser = fit_parser("tagging")
    flags = [
        "--out",
        "run",
        "--hidden-size",
        "128",
        "--bidirectional",
        "--unfreeze-every=2",
        "--config",
        str(tmp_path / "o.yaml"),
    ]
    parser.read(["data", *flags])
    assert parser.named == {"hidden_size", "bidirectional", "unfreeze_every", "num_layers", "batch_size"}


def test_a_shortened_flag_is_no_flag() -> None:
    with pytest.raises(OptionError, match=r"there is no option --unfreeze; did you mean '--unfreeze-every'"):
        fit_parser("tagging").read(["data", "--out", "run", "--unfreeze=2"])


def test_a_text_alone_is_a_list_of_one() -> None:
    assert TimeSeriesOptions(target="sales").target == ("sales",)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text: 5", "text is 5; it must be text; write it in quotes"),
        ("text: true", "text is True; it must be text; write it in quotes"),
        ("hidden_size: 1_000", "hidden_size is '1_000'; it must be a whole number"),
        ("bidirectional: yes", "bidirectional is 'yes'; it must be true or false"),
        ("hidden_size: 1\nhidden_size: 2", "the key 'hidden_size' is there twice"),
        ("batch-size: 1\nbatch_size: 2", "the option 'batch_size' is there twice"),
        ("recurrence: [lstm]", "recurrence is ['lstm']"),
    ],
)
def test_a_file_of_options_is_refused_in_one_sentence(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text(line)
    with pytest.raises(OptionError) as error:
        fit_parser("classification").read(["data", "--out", "run", "--config", str(tmp_path / "o.yaml")])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("text: no", "text", "no"),
        ("learning-rate: 1e-3", "learning_rate", 0.001),
        ("hidden_size: 010", "hidden_size", 10),
        ("text: 12:30", "text", "12:30"),
        ("class_weights: {spam: 5, 1: 2}", "class_weights", {"spam": 5.0, "1": 2.0}),
    ],
)
def test_a_file_of_options_is_read_as_it_is_written(line: str, option: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text(line)
    given = fit_parser("classification").read(["data", "--out", "run", "--config", str(tmp_path / "o.yaml")])
    assert given[option] == value


@pytest.mark.parametrize(
    ("flag", "option", "value"),
    [
        ("--text=no", "text", "no"),
        ("--text=[a]", "text", "[a]"),
        ("--text=null", "text", "null"),
        ("--text=12:30", "text", "12:30"),
        ("--text=5", "text", "5"),
        ("--learning-rate=1e-3", "learning_rate", 0.001),
        ("--hidden-size=07", "hidden_size", 7),
        ("--bidirectional=no", "bidirectional", False),
        ("--bidirectional", "bidirectional", True),
        ("--forget-bias=null", "forget_bias", None),
        ("--forget-bias=1", "forget_bias", 1.0),
        ("--class-weights=balanced", "class_weights", "balanced"),
        ("--class-weights=spam=5, ham=1.5", "class_weights", {"spam": 5.0, "ham": 1.5}),
        ("--class-weights=a=b=2", "class_weights", {"a=b": 2.0}),
        ('--class-weights={"spam, eggs": 5, 1: 2}', "class_weights", {"spam, eggs": 5.0, "1": 2.0}),
    ],
)
def test_a_flag_is_read_as_it_is_written(flag: str, option: str, value: object) -> None:
    given = fit_parser("classification").read(["data", "--out", "run", flag])[option]
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--hidden-size=1e3", "hidden_size is '1e3'; it must be a whole number"),
        ("--hidden-size=" + "9" * 5000, "it must be a whole number"),
        ("--learning-rate=nan", "it must be a number"),
        ("--learning-rate=1e999", "it must be a number"),
        ("--learning-rate=[1]", "learning_rate is '[1]'; it must be a number"),
        ("--bidirectional=maybe", "it must be true or false"),
        ("--class-weights=balance", "class_weights is 'balance'; did you mean 'balanced'?"),
        ("--class-weights=a=5,a=6", "is no list of names with numbers, such as a=5,b=0.5 or '{a: 5, b: 0.5}'"),
        ("--class-weights=a=much", "is no list of names with numbers"),
        ("--class-weights={a", "is no list of names with numbers"),
        ("--class-weights=a=nan", "class_weights of 'a' is nan; it must be a number"),
        ("--recurrence=lstmm", "recurrence is 'lstmm'; did you mean 'lstm'?"),
    ],
)
def test_a_flag_is_refused_in_one_sentence(flag: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        fit_parser("classification").read(["data", "--out", "run", flag])
    assert message in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_fifteen_options_and_help_all_every_one(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = entry(task).load_settings()
    names = [name for group in settings.groups() for name in defaults([group]) if name not in settings.excluded]
    assert len(settings.common) == 15
    shown = {}
    for flag in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as stop:
            main(["fit", task, flag])
        assert not stop.value.code
        text = capsys.readouterr().out
        shown[flag] = [name for name in names if re.search(f"^  --{name.replace('_', '-')} ", text, re.MULTILINE)]
        if flag == "--help":
            assert text.rstrip().endswith(f"--help-all shows {len(names) - 15} more options.")
    assert sorted(shown["--help"]) == sorted(settings.common)
    assert shown["--help-all"] == names
