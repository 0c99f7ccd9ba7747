"""Names of span tagging schemes; nothing here imports a library, so that help is instant."""

from __future__ import annotations

from typing import Literal

from unroll.errors import OptionError, nearest

Scheme = Literal["BIO", "BIOES", "IOB1", "BILOU", "BMES", "BMEWO", "IOE2", "IOE1"]
SCHEMES: tuple[Scheme, ...] = ("BIO", "BIOES", "IOB1", "BILOU", "BMES", "BMEWO", "IOE2", "IOE1")
"""Of several that fit data equally well, the first is taken."""

SYNONYMS: dict[str, Scheme] = {
    "IOB2": "BIO",
    "IOBES": "BIOES",
    "BILUO": "BILOU",
    "BIOUL": "BILOU",
    "BMESO": "BMES",
    "BMOES": "BMES",
    "BMEOW": "BMEWO",
}


def scheme_named(name: str, option: str) -> Scheme:
    """Look up a scheme by name, in upper or lower case; `option` is the option's name for messages.

    Raises:
        OptionError: there is none, or the name means two.
    """
    wanted = name.upper()
    for scheme in SCHEMES:
        if wanted == scheme or SYNONYMS.get(wanted) == scheme:
            return scheme
    for short, two in {"IOB": "IOB1 or BIO (which is IOB2)", "IOE": "IOE1 or IOE2"}.items():
        if wanted == short:
            raise OptionError(f"{option} is {name!r}, which may mean two schemes; say {two}")
    hint = nearest(wanted, (*SCHEMES, *SYNONYMS)) or f"; there is: {', '.join(SCHEMES)}"
    raise OptionError(f"{option} is {name!r:.40}{hint}")
