from __future__ import annotations

import itertools

import numpy as np
import pytest

from unroll.data.schemes import SCHEMES, breach, legal_steps, mark_spans, may_follow, part, scheme_of, taken_steps

KINDS = ("X", "Y")


def sequences(scheme: str, n: int) -> set[tuple[str, ...]]:
    """Every tag sequence that `scheme` writes for some division of n tokens into spans and outside."""
    found = set()
    for kinds in itertools.product(("O", *KINDS), repeat=n):
        runs = [(kind, len(list(run))) for kind, run in itertools.groupby(kinds)]
        cuts = [range(2 ** (length - 1)) if kind != "O" else (0,) for kind, length in runs]
        for chosen in itertools.product(*cuts):
            tags: list[str] = []
            for (kind, length), bits in zip(runs, chosen, strict=True):
                if kind == "O":
                    tags += ["O"] * length
                    continue
                begins = [i == 0 or bool(bits >> (i - 1) & 1) for i in range(length)]
                for i in range(length):
                    ends = i == length - 1 or begins[i + 1]
                    if scheme == "BIO":
                        prefix = "B" if begins[i] else "I"
                    elif scheme == "IOB1":
                        prefix = "B" if begins[i] and i else "I"
                    else:
                        prefix = {(1, 1): "S", (1, 0): "B", (0, 1): "E", (0, 0): "I"}[begins[i], ends]
                    tags.append(f"{prefix}-{kind}")
            found.add(tuple(tags))
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_legal_sequences_are_those_that_some_spans_are_written_as(scheme: str, n: int) -> None:
    tags = ["O", *(f"{p}-{k}" for p in "BIES" for k in KINDS)]
    steps = legal_steps(tags, scheme)
    legal = set()
    for path in itertools.product(range(len(tags)), repeat=n):
        between = all(steps.between[i, j] for i, j in itertools.pairwise(path))
        names = tuple(tags[i] for i in path)
        if steps.start[path[0]] and between and steps.end[path[-1]]:
            legal.add(names)
        assert (names in legal) == (not breach(names, scheme))
    assert legal == sequences(scheme, n)


def test_tags_without_a_type_are_spans_too() -> None:
    assert part("B") == ("B", "")
    assert may_follow("BIO", part("B"), part("I"))
    assert not may_follow("BIO", part("O"), part("I"))
    assert part("B-a-b") == ("B", "a-b")


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        (["O", "B-PER", "I-PER"], True),
        (["B", "I", "O"], True),
        (["I-NP"], True),
        (["S-X", "B-X", "E-X"], True),
        (["NOUN", "VERB", "O"], False),
        (["O"], False),
        (["S", "E"], False),
        (["S-PER", "O"], True),
        (["O-X", "B-X"], False),
        (["BX", "I-X"], False),
    ],
)
def test_which_tags_mark_spans(tags: list[str], spans: bool) -> None:
    assert mark_spans(tags) == spans


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["O B-X I-X", "B-X B-X"], "BIO"),
        (["O I-X I-X", "I-X B-X I-Y"], "IOB1"),
        (["O I-X I-X"], "IOB1"),
        (["B-X E-X O S-Y"], "BIOES"),
        (["B-X I-X E-X"], "BIOES"),
        (["O I-X", "O B-X"], None),
        (["B-X E-X", "B-X O E-X"], None),
    ],
)
def test_the_scheme_is_the_one_that_all_sentences_keep(sentences: list[str], scheme: str | None) -> None:
    lists = [s.split() for s in sentences]
    tags = sorted({tag for s in lists for tag in s})
    taken = taken_steps([np.array([tags.index(t) for t in s]) for s in lists], len(tags))
    assert scheme_of(tags, taken) == scheme


def test_a_breach_is_named() -> None:
    assert breach(["O", "I-X"], "BIO") == "'I-X' at token 2 cannot follow 'O'"
    assert breach(["I-X"], "BIO") == "'I-X' at token 1 cannot stand first"
    assert breach(["O", "B-X"], "BIOES") == "'B-X' at token 2 cannot stand last"
    assert breach(["I-X", "B-Y"], "IOB1") == "'B-Y' at token 2 cannot follow 'I-X'"
    assert breach([], "BIO") == ""
