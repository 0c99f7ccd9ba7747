"""Hold out rows for validation."""

from __future__ import annotations

import numpy as np

from unroll.errors import DataError, OptionError


def split(labels: np.ndarray | int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers into a training and a validation part, reproducibly for a seed.

    Integer labels (N,) are stratified: every class has its share in both parts. A class with a single row cannot
    be in both: such rows go to training and the rest is stratified. If that is impossible too (fewer rows to
    hold out than classes), or labels are not classes (floating point, or (N, K)) or are just a number of rows,
    the rows are split at random.

    Returns:
        `(train_rows, valid_rows)`, int64, each in rising order; with share 0 the second is empty.

    Raises:
        OptionError: a share that is not between 0 and 1.
        DataError: too few rows to have both parts.
    """
    if not 0 <= share < 1:
        raise OptionError(f"validation is {share!r}, but must be a share of at least 0 and below 1")
    n = labels if isinstance(labels, int) else len(labels)
    every = np.arange(n, dtype=np.int64)
    if share == 0:
        return every, every[:0]
    n_valid = round(n * share) or 1
    if n - n_valid < 1 or n < 2:
        raise DataError(
            f"{n} row{'s' if n != 1 else ''} cannot be divided into training and validation ({share:g}); "
            "give validation 0 (--validation-fraction 0), or rows of its own (--valid DATA)"
        )

    from sklearn.model_selection import train_test_split

    candidates, classes = every, None
    if isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iub":
        _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
        several = counts[index] > 1
        kinds = int((counts > 1).sum())
        room = int(several.sum()) - n_valid
        if kinds and n_valid >= kinds and room >= kinds:
            candidates, classes = every[several], labels[several]
    valid = train_test_split(candidates, test_size=n_valid, random_state=seed % 2**32, stratify=classes)[1]
    keep = np.ones(n, dtype=bool)
    keep[valid] = False
    return every[keep], np.sort(valid)
