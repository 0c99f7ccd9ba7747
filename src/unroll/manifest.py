"""Manifest of a run folder: size and checksum of the config, the weights, the task's files and the metrics.

`manifest.json` is written last, so every finished run has one. A file that was changed afterwards, by hand or by a
failing disk, is detected when the run is opened or the file is read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from unroll.atomic_write import read_document, read_regular, require_regular, write_whole
from unroll.errors import RunError

NAME = "manifest.json"
FORMAT = "unroll.manifest/1"
TRUST = "if it was changed by hand and can be trusted, --trust-changed (trust_changed=True in Python) uses it"
_LARGEST = 2**20
_NAME = re.compile(r"(?!manifest\.json$)[a-z_]+\.(yaml|json|safetensors)")


@dataclass(frozen=True)
class Entry:
    """Size and hexadecimal SHA-256 of a file when the run was finished."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Sizes and checksums of the files of one run folder.

    Attributes:
        folder: the run folder.
        files: entries by file name.
    """

    folder: Path
    files: Mapping[str, Entry]

    @classmethod
    def of(cls, folder: Path, names: Iterable[str]) -> Self:
        """Compute the manifest of the named files that exist in `folder`.

        Raises:
            RunError: a file cannot be read.
        """
        entries: dict[str, Entry] = {}
        try:
            for name in names:
                if (folder / name).is_file():
                    with open(folder / name, "rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                        entries[name] = Entry(file.tell(), digest)
        except OSError as error:
            raise RunError(f"cannot read {error.filename}: {error.strerror}") from error
        return cls(folder, entries)

    def write(self) -> None:
        """Write manifest.json.

        Raises:
            RunError: it cannot be written.
        """
        write_whole(self.folder / NAME, self._text())

    def _text(self) -> str:
        files = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in self.files.items()}
        return json.dumps({"format": FORMAT, "files": files}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read manifest.json.

        Raises:
            FileNotFoundError: there is none.
            RunError: it is damaged.
        """
        path = folder / NAME
        try:
            text = read_regular(path, _LARGEST).decode()
            document = read_document(text, FORMAT, str(path))
        except UnicodeDecodeError as error:
            raise RunError(f"{path} is damaged: not UTF-8 at byte {error.start}") from error
        listed = document.get("files")
        if not isinstance(listed, dict) or not all(_NAME.fullmatch(n) and _is_entry(e) for n, e in listed.items()):
            raise RunError(
                f"{path} is damaged: its files are not names of a run's files with sizes and checksums; {TRUST}"
            )
        manifest = cls(folder, {name: Entry(e["bytes"], e["sha256"]) for name, e in listed.items()})
        if manifest._text() != text:
            raise RunError(f"{path} is damaged: it is not as it was written; {TRUST}")
        return manifest

    def check_sizes(self) -> None:
        """Check the size of every file against the manifest, without reading contents.

        Raises:
            RunError: a file is missing or of another size.
        """
        for name, entry in self.files.items():
            path = self.folder / name
            try:
                require_regular(path)
                size = path.stat().st_size
            except FileNotFoundError:
                raise RunError(f"{self.folder} is damaged: {name} is missing, and {NAME} lists it") from None
            except OSError as error:
                raise RunError(f"cannot read {path}: {error.strerror}") from error
            if size != entry.bytes:
                raise self._changed(name, f"it has {size:,} bytes, not {entry.bytes:,}")

    def check(self, name: str, content: bytes) -> None:
        """Check a file's content against the manifest.

        Raises:
            RunError: it is not listed, or has changed.
        """
        if hashlib.sha256(content).hexdigest() != self._entry(name).sha256:
            raise self._changed(name, f"its checksum is not that of {NAME}")

    def check_file(self, name: str) -> None:
        """Check a large file against the manifest without loading it into memory.

        Raises:
            RunError: it is not listed, has changed, is not a regular file, or cannot be read.
        """
        path, entry = self.folder / name, self._entry(name)
        try:
            require_regular(path)
            with open(path, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error
        if digest != entry.sha256:
            raise self._changed(name, f"its checksum is not that of {NAME}")

    def _entry(self, name: str) -> Entry:
        entry = self.files.get(name)
        if entry is None:
            raise RunError(f"{self.folder / NAME} does not list {name}, so that it cannot be trusted; {TRUST}")
        return entry

    def _changed(self, name: str, why: str) -> RunError:
        return RunError(f"{self.folder / name} has changed since the run was written: {why}; {TRUST}")


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"bytes", "sha256"}
        and type(value["bytes"]) is int
        and isinstance(value["sha256"], str)
        and re.fullmatch("[0-9a-f]{64}", value["sha256"]) is not None
    )
