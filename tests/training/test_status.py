from __future__ import annotations

import sys

import pytest

from unroll.training.status import Status


def test_a_terminal_shows_the_line_until_something_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said: list[str] = []
    with Status("reading") as status:
        assert capsys.readouterr().err == "\r\x1b[Kreading ..."
        status.around(said.append)("a note")
        assert capsys.readouterr().err == "\r\x1b[K\r\x1b[Kreading ..."
    assert capsys.readouterr() == ("", "\r\x1b[K")
    assert said == ["a note"]


def test_a_file_gets_no_such_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Status("reading"):
        pass
    assert capsys.readouterr() == ("", "")
