"""Check CoNLL column files, where the first column may not be tokens, or the last not tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unroll.data.ragged import iter_column
from unroll.data.text.bio import mark_spans
from unroll.errors import DataError
from unroll.tasks.tagging.options import TaggingOptions

if TYPE_CHECKING:
    import datasets

_LOOKED_AT = 200
_MOST_TAGS = 200


def check_columns(dataset: datasets.Dataset, options: TaggingOptions, where: str) -> None:
    """Check that the default columns of a column file, the first and the last, are tokens and tags.

    Raises:
        DataError: the first numbers the tokens, or every tag is the same; the message suggests other columns.
    """
    names = [name for name in dataset.column_names if name.removeprefix("column").isdigit()]
    if "column1" not in names or len(names) < 2:
        return
    head: dict[str, list[Any]] = dataset[:_LOOKED_AT]
    words = {name: [cell for row in head[name] for cell in row or []] for name in (*names, "tokens", "tags")}
    kinds = {name: set(cells) for name, cells in words.items()}
    if options.tokens == "tokens" and len(names) > 2 and all(_counts(row) for row in head["tokens"]):
        raise DataError(
            f"{where}: the first column numbers the tokens; name the column of the tokens, as --tokens {names[1]}, and"
            f" that of the tags, as --tags {_likely(names[2:], kinds)}"
        )
    if options.tags == "tags" and len(names) > 2 and len(dataset) > 1 and _all_alike(kinds["tags"], dataset):
        only = next(iter(kinds["tags"]))
        likely = _likely(names[1:-1], kinds)
        example = ", ".join(f"'{kind:.20}'" for kind in sorted(kinds[likely])[:3])
        raise DataError(
            f"{where}: every tag in the last column is '{only:.20}'; name the column of the tags, as --tags {likely},"
            f" which holds {example}"
        )


def _all_alike(seen: set[Any], dataset: datasets.Dataset) -> bool:
    """Tell whether all tags of the data set are the one that was seen."""
    rows = iter_column(dataset, "tags")
    return len(seen) == 1 and all(tag in seen for row in rows for tag in row or [])


def _counts(row: list[str] | None) -> bool:
    return bool(row) and row == [str(i) for i in range(1, len(row or []) + 1)]


def _likely(names: list[str], kinds: dict[str, set[str]]) -> str:
    """Suggest a tag column: the first with span tags, else the one with the fewest distinct values (at least two)."""
    several = [name for name in names if 1 < len(kinds[name]) <= _MOST_TAGS] or names
    return next((name for name in several if mark_spans(kinds[name])), min(several, key=lambda name: len(kinds[name])))
