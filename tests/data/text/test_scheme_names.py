from __future__ import annotations

import pytest

from unroll.data.text.scheme_names import SCHEMES, scheme_named
from unroll.errors import OptionError


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("IOB2", "BIO"),
        ("iobes", "BIOES"),
        ("BILUO", "BILOU"),
        ("BIOUL", "BILOU"),
        ("BMESO", "BMES"),
        ("bmewo", "BMEWO"),
        ("iob1", "IOB1"),
        *zip(SCHEMES, SCHEMES, strict=True),
    ],
)
def test_a_scheme_has_the_names_that_the_field_gives_it(name: str, scheme: str) -> None:
    assert scheme_named(name, "scheme") == scheme


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("IOB", "scheme is 'IOB', which may mean two schemes; say IOB1 or BIO (which is IOB2)"),
        ("ioe", "scheme is 'ioe', which may mean two schemes; say IOE1 or IOE2"),
        ("BIOS", "scheme is 'BIOS'; did you mean 'BIOES'?"),
        ("xyz", "scheme is 'xyz'; there is: BIO, BIOES, IOB1, BILOU, BMES, BMEWO, IOE2, IOE1"),
    ],
)
def test_other_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        scheme_named(name, "scheme")
    assert str(error.value) == message
