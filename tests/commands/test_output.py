from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest

from unroll.__main__ import main
from unroll.commands.output import json_text, print_answers
from unroll.errors import DataError, OptionError

ANSWER = {"text": "é \U0001f600 \ud83d", "n": 1.5}


def output(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    return raw


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252", "utf-16"])
def test_what_goes_in_comes_out_whatever_the_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = output(monkeypatch, encoding)
    print_answers([ANSWER, ANSWER], live=False)
    lines = raw.getvalue().decode(encoding).splitlines()
    assert [json.loads(line) for line in lines] == [ANSWER, ANSWER]


def test_utf8_is_escaped_only_where_it_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    output(monkeypatch, "utf-8")
    assert json_text({"t": "é \U0001f600 \ud83d"}) == '{"t": "é \U0001f600 \\ud83d"}'
    output(monkeypatch, "ascii")
    assert json_text({"t": "é \ud83d"}) == '{"t": "\\u00e9 \\ud83d"}'


def test_answers_before_an_error_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers() -> Iterator[dict[str, int]]:
        yield {"row": 1}
        raise DataError("row 2 is bad")

    raw = output(monkeypatch, "utf-8")
    with pytest.raises(DataError, match="row 2 is bad"):
        print_answers(answers(), live=False)
    assert raw.getvalue() == b'{"row": 1}\n'


def test_live_answers_are_written_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = output(monkeypatch, "utf-8")
    seen: list[bytes] = []

    def answers() -> Iterator[int]:
        for i in range(2):
            seen.append(raw.getvalue())
            yield i

    print_answers(answers(), live=True)
    assert seen == [b"", b"0\n"]


def test_sentences_for_a_person_are_escaped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = output(monkeypatch, "ascii")
    assert main(["--version"]) == 0
    print("é")
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"\\xe9\n")


def test_tagged_sentences_are_written_as_columns(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [
        {"tokens": ["Peter", "sleeps"], "tags": ["B-PER", "O"], "probabilities": [1.0, 1.0]},
        {"error": "'tokens' is empty"},
        {"tokens": ["."], "tags": ["O"], "probabilities": [1.0]},
    ]
    print_answers(answers, live=False, form="conll")
    assert capsys.readouterr().out == "Peter\tB-PER\nsleeps\tO\n\n# error: 'tokens' is empty\n\n.\tO\n\n"
    with pytest.raises(OptionError, match="writes tokens with their tags, which this run does not answer with"):
        print_answers([{"label": "a"}], live=False, form="conll")
    with pytest.raises(OptionError, match=r"the token 'a\\tb' cannot be written as a CoNLL column"):
        print_answers([{"tokens": ["a\tb"], "tags": ["O"]}], live=False, form="conll")
