from __future__ import annotations

import itertools

import pytest

from unroll.data.text.bio import breach, legal_steps, mark_spans, may_follow, part
from unroll.data.text.scheme_names import SCHEMES

KINDS = ("X", "Y")
FOURS = {"BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}
PLACES = {(True, True): "S", (True, False): "B", (False, True): "E", (False, False): "I"}


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
                    elif scheme == "IOE2":
                        prefix = "E" if ends else "I"
                    elif scheme == "IOE1":
                        prefix = "E" if ends and i < length - 1 else "I"
                    else:
                        prefix = FOURS[scheme]["BIES".index(PLACES[begins[i], ends])]
                    tags.append(f"{prefix}-{kind}")
            found.add(tuple(tags))
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_legal_sequences_are_those_that_some_spans_are_written_as(scheme: str, n: int) -> None:
    tags = ["O", *(f"{p}-{k}" for p in "BIESLUMW" for k in KINDS)]
    steps = legal_steps(tags, scheme)
    legal = set()
    for path in itertools.product(range(len(tags)), repeat=n):
        between = all(steps.between[i, j] for i, j in itertools.pairwise(path))
        if steps.start[path[0]] and between and steps.end[path[-1]]:
            legal.add(tuple(tags[i] for i in path))
    assert legal == sequences(scheme, n)
    for names in itertools.islice(itertools.product(tags, repeat=n), 0, None, 7):
        assert (names in legal) == (not breach(names, scheme))


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
        (["B", "M", "E", "S"], True),
        (["U-PER", "O"], True),
        (["U-PER", "L-PER"], False),
        (["M-sg", "W-pl"], False),
    ],
)
def test_which_tags_mark_spans(tags: list[str], spans: bool) -> None:
    assert mark_spans(tags) == spans


def test_a_breach_is_named() -> None:
    assert breach(["O", "I-X"], "BIO") == "'I-X' at token 2 cannot follow 'O'"
    assert breach(["I-X"], "BIO") == "'I-X' at token 1 cannot stand first"
    assert breach(["O", "B-X"], "BIOES") == "'B-X' at token 2 cannot stand last"
    assert breach(["I-X", "B-Y"], "IOB1") == "'B-Y' at token 2 cannot follow 'I-X'"
    assert breach([], "BIO") == ""
    assert breach(["B-X", "E-X"], "BIO") == "'E-X' at token 2 is no tag of BIO"
    assert breach(["O", "I-X"], "IOE2") == "'I-X' at token 2 cannot stand last"
    assert breach(["E-X", "O"], "IOE1") == "'O' at token 2 cannot follow 'E-X'"
    assert breach(["B-X", "L-Y"], "BILOU") == "'L-Y' at token 2 cannot follow 'B-X'"
    assert breach(["B", "O"], "BMES") == "'O' at token 2 cannot follow 'B'"
