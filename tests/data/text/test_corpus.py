from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unroll.data.options import SourceOptions, TextOptions
from unroll.data.text import corpus as module
from unroll.data.text.corpus import Corpus
from unroll.data.text.documents import TextSource
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import DataError

pytestmark = pytest.mark.slow


def encoder(text: str, level: str = "word", **more) -> TextTokenizer:
    options = {"min_freq": 1, "vocab_size": 0, "line_ends": True} | more
    return TextTokenizer.learn([text], TextOptions(level=level, **options))  # type: ignore[arg-type]


def passage(path: Path, text: str, **more) -> TextSource:
    path.write_text(text, encoding="utf-8")
    return TextSource((str(path),), SourceOptions(), **more)


def test_tokens_are_those_of_the_text(tmp_path: Path) -> None:
    text = "the cat é\n\nsat\n on the 猫 mat"
    made = encoder(text)
    found = Corpus.encode(passage(tmp_path / "a.txt", text + " dog", last_line=True), made)
    assert made.tokens(found.tokens) == [
        *("the", "cat", "é", "<eos>", "<eos>", "sat", "<eos>", "on", "the", "猫", "mat", "<unk>", "<eos>")
    ]
    assert found.tokens.dtype == np.uint16
    assert isinstance(found.tokens, np.memmap)
    assert found.start == made.newline
    counts = found.counts
    assert (counts.tokens, counts.rows, counts.unknown) == (13, 4, 1)
    assert (counts.characters, counts.bytes) == (len(text) + 5, len(text.encode()) + 5)
    assert found.frequencies(made.size).sum() == 13
    assert found.frequencies(made.size)[1] == 1


def test_documents(tmp_path: Path) -> None:
    text = "a b\n\nc\n\n\nd e\n"
    made = encoder(text)
    blank = Corpus.encode(passage(tmp_path / "a.txt", text, reset="blank"), made)
    assert made.tokens(blank.tokens[blank.documents]) == ["c", "d"]
    rows = Corpus.encode(passage(tmp_path / "a.txt", text, reset="row"), made)
    assert rows.documents.tolist() == [3, 4, 6, 7, 8]
    assert len(Corpus.encode(passage(tmp_path / "a.txt", text), made).documents) == 0


def test_documents_without_tokens_begin_with_the_next(tmp_path: Path) -> None:
    made = encoder("a b", line_ends=False)
    found = Corpus.encode(passage(tmp_path / "a.txt", "\n\na\n\n\nb\n\n", reset="row"), made)
    assert made.tokens(found.tokens) == ["a", "b"]
    assert found.documents.tolist() == [1]
    assert found.start == 0


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    text = " ".join(f"w{i}" for i in range(65_600))
    found = Corpus.encode(passage(tmp_path / "a.txt", text), encoder(text))
    assert found.tokens.dtype == np.int32
    assert sorted(found.tokens)[-1] == 65_601


def test_found_again_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []
    real = module._write
    monkeypatch.setattr(module, "_write", lambda *given: calls.append(given[0]) or real(*given))
    made = encoder("a b c")
    first = Corpus.encode(passage(tmp_path / "a.txt", "a b"), made)
    again = Corpus.encode(TextSource((str(tmp_path / "a.txt"),), SourceOptions()), made)
    assert len(calls) == 1
    assert again.tokens.tolist() == first.tokens.tolist()
    assert again.counts == first.counts
    Corpus.encode(TextSource((str(tmp_path / "a.txt"),), SourceOptions()), encoder("c c b a"))
    assert len(calls) == 2
    other = Corpus.encode(passage(tmp_path / "a.txt", "b b c"), made)
    assert len(calls) == 3
    assert made.tokens(other.tokens) == ["b", "b", "c"]
    tokens, _, about = module._files(calls[-1])
    for damage in (lambda: tokens.write_bytes(b"\0\0"), lambda: about.write_text("{"), tokens.unlink):
        damage()
        mended = Corpus.encode(TextSource((str(tmp_path / "a.txt"),), SourceOptions()), made)
        assert made.tokens(mended.tokens) == ["b", "b", "c"]
    assert len(calls) == 6
    assert not [p for p in calls[0].parent.iterdir() if p.is_dir()]


def test_pieces_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "some words here\n\nand there\n" * 50
    made = encoder(text, level="char")
    whole = Corpus.encode(passage(tmp_path / "a.txt", text, reset="row"), made)
    monkeypatch.setattr(module, "_CHARACTERS_AT_ONCE", 40)
    monkeypatch.setattr(module, "_TOKENS_AT_ONCE", 7)
    pieces = Corpus.encode(passage(tmp_path / "b.txt", text, reset="row"), made)
    assert pieces.tokens.tolist() == whole.tokens.tolist()
    assert pieces.documents.tolist() == whole.documents.tolist()
    assert b"".join(pieces.fingerprint()) == b"".join(whole.fingerprint())
    assert pieces.frequencies(made.size).tolist() == np.bincount(whole.tokens, minlength=made.size).tolist()


def test_another_process_maps_the_same_file(tmp_path: Path) -> None:
    text = "some words\n\nand more of them\n" * 200
    found = Corpus.encode(passage(tmp_path / "a.txt", text, reset="blank"), encoder(text))
    sent = pickle.dumps(found)
    assert len(sent) < 1000
    there = pickle.loads(sent)  # noqa: S301 (our own)
    assert isinstance(there.tokens, np.memmap)
    assert there.tokens.tolist() == found.tokens.tolist()
    assert there.documents.tolist() == found.documents.tolist()
    assert (there.counts, there.start, there.where) == (found.counts, found.start, found.where)
    small = pickle.loads(pickle.dumps(Corpus.of(np.arange(5), (2,))))  # noqa: S301
    assert small.tokens.tolist() == [0, 1, 2, 3, 4]
    assert small.documents.tolist() == [2]


def test_a_text_without_tokens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.txt has no tokens: it is empty"):
        Corpus.encode(passage(tmp_path / "a.txt", ""), encoder("a"))
    with pytest.raises(DataError, match=r"b.txt has no tokens: nothing is left"):
        Corpus.encode(passage(tmp_path / "b.txt", " . ,\n"), encoder("a", punctuation="drop", line_ends=False))


def test_a_disk_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file")
    with pytest.raises(DataError, match=r"cannot be written to: .*; HF_HOME can name another folder"):
        Corpus.encode(passage(tmp_path / "a.txt", "a"), encoder("a"))


LARGE = """
import resource, sys
from pathlib import Path
import datasets.config
from unroll.data.text.corpus import Corpus
from unroll.data.options import SourceOptions, TextOptions
from unroll.data.text.documents import TextSource
from unroll.data.text.tokenizer import TextTokenizer
from unroll.data.text.bptt import BPTTBatches
datasets.config.HF_DATASETS_CACHE = Path(sys.argv[2])
encoder = TextTokenizer.learn([], TextOptions(level="byte", line_ends=True))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
found = []
for size in (1, 13):
    path = Path(sys.argv[1]) / f"{size}.txt"
    line = b"an ordinary line of some sixty characters, again and again....\\n"
    with path.open("wb") as file:
        for _ in range(size * 2**20 // len(line)):
            file.write(line)
    corpus = Corpus.encode(TextSource((str(path),), SourceOptions()), encoder)
    for batch in BPTTBatches(corpus, 64, 2**12):
        pass
    assert len(corpus) == path.stat().st_size // len(line) * len(line)
    found.append(peak())
print(found[1] - found[0])
"""


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    out = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout
    # 12 MiB more of text are 24 MiB more of tokens, whose pages stay in memory as long as nobody else wants them
    assert int(out) < 48, out


def test_a_joined_text_is_a_document_of_its_own():
    joined = Corpus.of(np.array([5, 1, 7]), [2]).join(Corpus.of(np.array([1, 1]), [1]))
    assert joined.tokens.tolist() == [5, 1, 7, 1, 1]
    assert joined.documents.tolist() == [2, 3, 4]
    assert (joined.counts.tokens, joined.counts.unknown, joined.counts.documents, joined.counts.rows) == (5, 3, 3, 2)
