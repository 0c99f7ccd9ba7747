from __future__ import annotations

from pathlib import Path

import pytest

from unroll.data.files.dataset import Unreadable, read, stream
from unroll.data.options import SourceOptions
from unroll.errors import DataError, OptionError

Table = list[list[str]]


def table(path: Path, content: str | bytes, source: SourceOptions | None = None) -> tuple[list[str], Table]:
    """The names and the cells of a file, read and streamed alike."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    dataset = read(path, source=source)
    assert list(stream(path, source=source)) == list(dataset)
    return dataset.column_names, [list(dict(row).values()) for row in dataset]


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ('a;"b, c"\n1;2,5\n3;4,5\n', ["a", "b, c"], [["1", "2,5"], ["3", "4,5"]]),
        ('"b, EUR/MWh";a\n2,5;1\n4,5;3\n', ["b, EUR/MWh", "a"], [["2,5", "1"], ["4,5", "3"]]),
        ("Datum;Preis, EUR\n1;2,5\n3;4,5\n", ["Datum", "Preis, EUR"], [["1", "2,5"], ["3", "4,5"]]),
        ('Datum;"Preis,EUR"\n1;2,5\n3;4,5\n', ["Datum", "Preis,EUR"], [["1", "2,5"], ["3", "4,5"]]),
        ('"raw, review"\tlabel\na, b\tpos\nc, d\tneg\n', ["raw, review", "label"], [["a, b", "pos"], ["c, d", "neg"]]),
        ("a|b|c\n1|x, y|2\n3|z; w|4\n", ["a", "b", "c"], [["1", "x, y", "2"], ["3", "z; w", "4"]]),
        ("a,b\nx\ty,1\nz;w|v,2\n", ["a", "b"], [["x\ty", "1"], ["z;w|v", "2"]]),
        ("sep=;\r\na;b\r\n1;2,5\r\n", ["a", "b"], [["1", "2,5"]]),
        ('"sep=|"\n\na|b\n1|2\n', ["a", "b"], [["1", "2"]]),
        ("a, b\n1, 2\n3, 4\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        ('a, b\n1, "x, y"\n3, z\n', ["a", "b"], [["1", "x, y"], ["3", "z"]]),
        ("text\nhello\nworld\n", ["text"], [["hello"], ["world"]]),
        ('text\n"hello, you"\nworld\n', ["text"], [["hello, you"], ["world"]]),
        (b"a,b\r1,2\r3,4\r", ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b"\xef\xbb\xbfa;b\r\n\r\n1;2\r\n\r\n", ["a", "b"], [["1", "2"]]),
        ('a,b\n"x\ny",1\n"say ""hi"", you",2\nsay "hi" you,3\n', ["a", "b"],
         [["x\ny", "1"], ['say "hi", you', "2"], ['say "hi" you', "3"]]),
        ('"a\nb",c\n1,2\n', ["a\nb", "c"], [["1", "2"]]),
        ("0,1,2\n5.5,6,7\n", ["0", "1", "2"], [["5.5", "6", "7"]]),
    ],
)  # fmt: skip
def test_the_first_lines_tell_what_parts_the_fields(
    tmp_path: Path, content: str | bytes, names: list[str], rows: Table
) -> None:
    assert table(tmp_path / "t.csv", content) == (names, rows)


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        ('v1,v2,,,\nham,"Go, now",,,\nspam,Free,,,\n', ["v1", "v2"], [["ham", "Go, now"], ["spam", "Free"]]),
        (
            "v1,v2,,\nham,Go,,\nspam,Free,now,\n",
            ["v1", "v2", "Unnamed: 2"],
            [["ham", "Go", ""], ["spam", "Free", "now"]],
        ),
        (",a\n0,5\n1,6\n", ["Unnamed: 0", "a"], [["0", "5"], ["1", "6"]]),
        ("a;b;\n1;2;\n3;4;\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        ("a,,b\n1,,2\n", ["a", "b"], [["1", "2"]]),
    ],
)
def test_columns_without_a_name(tmp_path: Path, content: str, names: list[str], rows: Table) -> None:
    assert table(tmp_path / "t.csv", content) == (names, rows)


def test_content_without_a_name_after_the_first_lines_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i},x,\n" for i in range(600))
    with pytest.raises(DataError, match=r"line 602: 'late' stands in column 3, which has no name"):
        table(tmp_path / "t.csv", f"a,b,\n{rows}1,x,late\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a;b,c\n1;2,3\n4;5,6\n",
            r"by ',' \(columns 'a;b', 'c'\) or ';' \(columns 'a', 'b,c'\); .*--delimiter",
        ),
        ("1.5,2.5\n2.5,3.5\n", r"has no header: its first line holds values \(1.5, 2.5\)"),
        ("2021-01-01;5.5\n2021-01-02;6.5\n", r"has no header: .* \(2021-01-01, 5.5\)"),
        ("5\n6\n7\n", r"has no header: .* \(5\)"),
        ("a\0,b\n1,2\n", "in the header: a NUL"),
        ("a,b\n1,2\n3\0,4\n", "line 3: a NUL"),
        ('a,b\n"say \\"hi\\", you",1\nx,2\n', "line 2: .*inside quotes a quote is written twice"),
        ("a,b\n1,2\n3\n", "line 3: 1 field, but the header has 2"),
        ("a;b\n1;2;\n", "line 2: 3 fields, but the header has 2"),
        ("text\nhello, world\n", "line 2: 2 fields, but the header has 1"),
        ("# from somewhere\na,b\n1,2\n", "the header has 1; the header begins with '#': if that is a comment, remove"),
        ("sep=;\n", "has no rows"),
        ('"a"\t"b"\n"1"\t"2"\n"3\t"4"\n', "line 3: .*inside quotes a quote is written twice"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        table(tmp_path / "t.csv", content)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=message):
        list(stream(tmp_path / "t.csv"))


def labelled(delimiter: str, first: bool) -> tuple[str, Table]:
    """Eighty rows, of which one text opens with a quote and a later one ends with it."""
    texts = ["a fine day", "dull news", "joy", "bad luck"]
    rows = [[texts[i % 4], "pos" if i % 2 else "neg"] for i in range(80)]
    rows[10][0], rows[70][0] = '"A fine day', 'they said dull"'
    rows = [row if first else row[::-1] for row in rows]
    header = ["text", "label"] if first else ["label", "text"]
    return "".join(delimiter.join(row) + "\n" for row in [header, *rows]), rows


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_quotes_never_join_the_rows_of_a_file_parted_by_tabs(tmp_path: Path, suffix: str, first: bool) -> None:
    content, rows = labelled("\t", first)
    assert table(tmp_path / f"t{suffix}", content)[1] == rows


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_a_quote_that_joins_rows_is_refused(tmp_path: Path, delimiter: str) -> None:
    content, rows = labelled(delimiter, first=False)
    with pytest.raises(DataError, match=r"a quote is opened in line 12 and closed in line 72, .*--quoting none"):
        table(tmp_path / "t.csv", content)
    assert table(tmp_path / "t.csv", content, SourceOptions(quoting="none"))[1] == rows
    assert len(table(tmp_path / "t.csv", content, SourceOptions(quoting="csv"))[1]) == 20


def test_a_quote_that_is_closed_far_away_is_refused_before(tmp_path: Path) -> None:
    rows = "".join(f"pos,{i}\n" for i in range(3000))
    with pytest.raises(DataError, match="opened in line 2 and not closed within 1000 lines"):
        table(tmp_path / "t.csv", f'label,text\npos,"open\n{rows}pos,close"\n')


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('label\ttext\npos\t"a ""b"" c"\nneg\t"d\te"\n', [["pos", 'a "b" c'], ["neg", "d\te"]]),
        ('"label"\t"text"\n"pos"\t"plain"\n"neg"\t"two\nlines"\n', [["pos", "plain"], ["neg", "two\nlines"]]),
        ('label\ttext\npos\t"one, two"\nneg\tplain\n', [["pos", "one, two"], ["neg", "plain"]]),
        ('label\ttext\npos\t"Great film"\nneg\t"Bad" he said\n', [["pos", '"Great film"'], ["neg", '"Bad" he said']]),
        ('label\ttext\npos\t"Great film"\nneg\tplain\n', [["pos", '"Great film"'], ["neg", "plain"]]),
        ('"label"\t"text"\n"pos"\t"plain"\n', [["pos", "plain"]]),
        ('label\ttext\npos\t5" pipe\nneg\t"quote\n', [["pos", '5" pipe'], ["neg", '"quote']]),
    ],
)
def test_quotes_in_a_file_parted_by_tabs_enclose_what_a_writer_put_into_them(
    tmp_path: Path, content: str, rows: Table
) -> None:
    assert table(tmp_path / "t.tsv", content)[1] == rows


def test_what_a_person_says_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    both = "a;b,c\n1;2,3\n"
    assert table(path, both, SourceOptions(delimiter=";")) == (["a", "b,c"], [["1", "2,3"]])
    assert table(path, both, SourceOptions(delimiter=",")) == (["a;b", "c"], [["1;2", "3"]])
    assert table(path, "a\tb\n1\t2\n", SourceOptions(delimiter="tab")) == (["a", "b"], [["1", "2"]])
    assert table(path, "a:b\n1:2\n", SourceOptions(delimiter=":")) == (["a", "b"], [["1", "2"]])
    assert table(path, 'a,b\n"1",2\n', SourceOptions(quoting="none")) == (["a", "b"], [['"1"', "2"]])
    for wrong in (";;", '"', "\n"):
        with pytest.raises(OptionError, match=r"delimiter is .*one character"):
            SourceOptions(delimiter=wrong)


def test_what_was_found_is_said(tmp_path: Path) -> None:
    def notes(name: str, content: str) -> list[str]:
        path, said = tmp_path / name, list[str]()
        path.write_text(content)
        read(path, notes=said)
        read(path, notes=(again := list[str]()))  # now out of the cache
        assert again == said
        return [note.removeprefix(f"{path}: ") for note in said]

    assert notes("a.csv", 'a,b\n"1",2\n') == notes("a.tsv", "a\tb\n1\t2\n") == []
    assert notes("b.csv", "a;b\n1;2\n") == ["fields are separated by ';'"]
    assert notes("c.csv", "a\tb\n1\t2\n") == ["fields are separated by tabs"]
    assert notes("d.tsv", 'a\tb\n"1\t2\n') == [
        "quotes are taken as text (--quoting csv takes them as enclosing fields)"
    ]
    assert notes("e.csv", "a,b,,\n1,2,,\n") == ["2 columns without a name or content left out"]
    assert notes("f.csv", ",a\n1,2\n") == ["columns without a name are called 'Unnamed: 0'"]


def test_a_record_that_quotes_break_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,2\n"x" y,3\n4,5\n')
    before, wrong, after = stream(path, skip=True)
    assert (before, after) == ({"a": "1", "b": "2"}, {"a": "4", "b": "5"})
    assert isinstance(wrong, Unreadable)
    assert wrong.reason == (
        f"'{path}', line 3: ',' expected after '\"'; inside quotes a quote is written twice, or give --quoting none if "
        "quotes are text"
    )


@pytest.mark.parametrize("name", ["t.txt", "t.jsonl", "t.csv"])
def test_rows_before_a_bad_byte_come_first(tmp_path: Path, name: str) -> None:
    lines = {"t.txt": b"one\ntwo\n\xff\n", "t.jsonl": b'{"a": 1}\n{"a": 2}\n"\xff"\n', "t.csv": b"a\none\n\xff\n"}
    path = tmp_path / name
    path.write_bytes(lines[name])
    rows = stream(path)
    assert len([next(rows) for _ in range(1 if name == "t.csv" else 2)]) > 0
    with pytest.raises(DataError, match="line 3: byte 0xFF is not utf-8"):
        next(rows)


def test_without_a_header_columns_are_named_by_position(tmp_path: Path) -> None:
    source = SourceOptions(header="none")
    assert table(tmp_path / "t.csv", "5.1,setosa\n4.9,setosa\n", source) == (
        ["0", "1"],
        [["5.1", "setosa"], ["4.9", "setosa"]],
    )
    assert table(tmp_path / "t.tsv", "ham\tGo, now\n", source) == (["0", "1"], [["ham", "Go, now"]])
    assert table(tmp_path / "b.csv", "\na;b\n1;2\n", source) == (["0", "1"], [["a", "b"], ["1", "2"]])
    (tmp_path / "t.csv").write_text("1,2\n3,4,5\n")
    with pytest.raises(DataError, match=r"line 2: 3 fields, but the first line has 2; a field with ',' in it"):
        read(tmp_path / "t.csv", source=source)


def test_a_label_in_the_first_line_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("ham\tGo now\nham\tfine\nspam\tFree\nham\tno\n")
    with pytest.raises(
        DataError, match=r"has no header: 'ham' of its first line stands in column 1 of 2 lines .* --header none"
    ):
        read(tmp_path / "t.tsv")
    names, rows = table(tmp_path / "t.tsv", "ham\tGo\nham\tno\nham\tno\n", SourceOptions(header="first"))
    assert (names, len(rows)) == (["ham", "Go"], 2)
    # a header that is repeated, as in files joined end to end, is a name all the same
    assert table(tmp_path / "r.csv", "text,label\na,b\ntext,label\ntext,label\n")[0] == ["text", "label"]
