from __future__ import annotations

from pathlib import Path

import pytest

from unroll.data.options import SourceOptions
from unroll.errors import DataError
from unroll.tasks.tagging.options import TaggingOptions
from unroll.tasks.tagging.records import load_sentences


def test_the_columns_of_a_file_with_ids_and_empty_columns_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "u.iob2"
    sentence = "# sent_id = s0\n1\tharbour\tO\t-\t-\n2\tOslo\tB-LOC\t-\t-\n\n"
    path.write_text(sentence * 5)
    with pytest.raises(DataError) as error:
        load_sentences([str(path)], TaggingOptions(), SourceOptions(), lambda _: None)
    assert str(error.value) == (
        f"{path}: the first column numbers the tokens; name the column of the tokens, as --tokens column2, and that of "
        "the tags, as --tags column3"
    )
    with pytest.raises(
        DataError, match=r"every tag in the last column is '-'; .* as --tags column3, which holds 'B-LOC', 'O'"
    ):
        load_sentences([str(path)], TaggingOptions(tokens="column2"), SourceOptions(), lambda _: None)
    found = load_sentences(
        [str(path)], TaggingOptions(tokens="column2", tags="column3"), SourceOptions(), lambda _: None
    )
    assert (len(found), found.names) == (5, ("O", "B-LOC"))


def test_a_last_column_that_begins_alike_is_a_column_of_tags(tmp_path: Path) -> None:
    path = tmp_path / "late.conll"
    path.write_text("a DT O\nb NN O\n\n" * 250 + "Oslo NN B-LOC\n")
    found = load_sentences([str(path)], TaggingOptions(), SourceOptions(), lambda _: None)
    assert (len(found), found.names) == (251, ("O", "B-LOC"))
