from __future__ import annotations

from pathlib import Path

import pytest

from unroll.commands.arguments import Parser
from unroll.commands.fit import parser as fit_parser
from unroll.data.series_options import FrameOptions
from unroll.errors import OptionError


def read(*arguments: str) -> FrameOptions:
    parser = Parser("unroll", "unroll", "")
    parser.add_options([FrameOptions])
    return FrameOptions(**parser.read(arguments).as_dict())


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


def test_what_was_given_is_told_from_what_is_so_by_default(tmp_path: Path) -> None:
    (tmp_path / "o.yaml").write_text("layers: 1\nbatch-size: 8\n")
    parser = fit_parser("tagging")
    flags = [
        "--out",
        "run",
        "--hidden",
        "128",
        "--bidirectional",
        "--unfreeze-every=2",
        "--config",
        str(tmp_path / "o.yaml"),
    ]
    parser.read(["data", *flags])
    assert parser.named == {"hidden", "bidirectional", "unfreeze_every", "layers", "batch_size"}


def test_a_shortened_flag_is_no_flag() -> None:
    with pytest.raises(OptionError, match=r"there is no option --unfreeze; did you mean '--unfreeze-every'"):
        fit_parser("tagging").read(["data", "--out", "run", "--unfreeze=2"])


def test_a_text_alone_is_a_list_of_one() -> None:
    assert FrameOptions(target="sales").target == ("sales",)  # pyright: ignore[reportArgumentType]
