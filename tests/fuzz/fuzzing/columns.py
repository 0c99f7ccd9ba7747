"""Column files of tokens and tags, with comments and documents, sound or damaged."""

from __future__ import annotations

from pathlib import Path
from random import Random

from fuzzing.mutations import change_bytes, change_lines, flip_one
from fuzzing.oracle import Finding, attempt

_TOKENS = ("Ann", "Rome", "#", "# 1", ".", '"', "saw", "-DOCSTART-", "é", "中文", "NA", "1,5", "#tag", "O", "_", "a-b")
_TAGS = ("O", "O", "B-PER", "I-PER", "B-LOC", "E-LOC", "S-PER", "NN", "M-PER", "U-X", "L-X")
_COMMENTS = ("# sent_id = 1", "# text = a b c", "# newdoc", "# id 123 domain=en", "#", "# global.columns = ID FORM")


def damaged_columns(random: Random, folder: Path) -> bool:
    """Sentences in a CoNLL file of two to four columns, or CoNLL-U; True where they were read."""
    by_tab = random.random() < 0.5
    tokens = [t for t in _TOKENS if " " not in t and t != "-DOCSTART-"]
    sentences = [
        [(random.choice(tokens), random.choice(_TAGS)) for _ in range(random.randint(1, 7))]
        for _ in range(random.randint(2, 12))
    ]
    conllu = random.random() < 0.25
    middle = 0 if conllu else random.randint(0, 2)
    commented = random.random() < 0.5
    blocks = []
    for sentence in sentences:
        lines = [random.choice(_COMMENTS)] if commented else []
        for i, (token, tag) in enumerate(sentence, start=1):
            cells = [token, *["x"] * middle, tag]
            if conllu:
                cells = [str(i), token, token.lower(), tag, "_", "_", "0", "root", "_", "_"]
            lines.append(("\t" if by_tab or conllu else " ").join(cells))
        blocks.append("\n".join(lines))
    content = ("\n\n".join(blocks) + random.choice(("", "\n", "\n\n"))).encode()
    damage = random.choice(("none", "byte", "any"))
    if damage != "none":
        content = (flip_one if damage == "byte" else random.choice((change_bytes, change_lines)))(random, content)
    suffix = ".conllu" if conllu else random.choice((".conll", ".iob2", ".bio", ".bioes"))
    path = folder / f"tagged{suffix}"
    path.write_bytes(content)
    skip = random.random() < 0.2
    outcome = attempt(lambda: _read(path, skip))
    if outcome.answered and damage == "none":
        found = [list(zip(row["tokens"], row["tags"], strict=True)) for row in outcome.value]
        wanted = [[(token, None if conllu and tag == "_" else tag) for token, tag in s] for s in sentences]
        if skip:  # a sentence that may be another is left out
            rest = iter(wanted)
            wanted = found if all(sentence in rest for sentence in found) else wanted
        if found != wanted:
            at = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), len(found))
            what = f"{wanted[at : at + 1]} became {found[at : at + 1]}"
            raise Finding("columns: other sentences", f"{what:.300}; {content[:200]!r}")
    return outcome.answered


def _read(path: Path, skip: bool) -> list[dict[str, object]]:
    from unroll.data.files.dataset import read

    return list(read(str(path), skipped=[] if skip else None))
