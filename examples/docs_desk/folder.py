"""The readable files of a folder, and their lines: everything the desk takes from the disk.

Only regular UTF-8 files with a known ending are read, up to stated limits; what is passed over is counted,
never silently missing. Links are not followed, so nothing outside the folder is ever read.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

from attrs import field, frozen
from pydantic import BaseModel

from examples.docs_desk.cutting import lines_of
from machines.review_loop import Passage

FILES_MAX = 20_000
FILE_BYTES_MAX = 2 * 1024 * 1024
FOLDER_BYTES_MAX = 512 * 1024 * 1024
CITED_LINES_MAX = 60

ENDINGS = frozenset({".py", ".pyi", ".md", ".markdown", ".rst", ".txt"})
LEFT_OUT = frozenset(
    """
    __pycache__ site-packages dist-packages node_modules build dist venv test tests idle_test
    """.split()
)


@frozen
class Document:
    """One readable file: its name relative to the folder, its size and when it changed."""

    name: str
    size: int
    mtime_ns: int


@frozen
class Listing:
    """What a folder holds: the documents, and how many files were passed over for which reason."""

    folder: Path
    documents: tuple[Document, ...]
    passed_over: dict[str, int] = field(factory=dict)

    @property
    def stamp(self) -> str:
        """A digest of names, sizes and times: another stamp means another index."""
        digest = hashlib.sha256()
        for document in self.documents:
            digest.update(f"{document.name}\0{document.size}\0{document.mtime_ns}\n".encode("utf-8", "replace"))
        return digest.hexdigest()


def list_folder(folder: Path) -> Listing:
    """Find the documents below a folder, in the order of their names.

    Hidden, generated, installed and test folders below it are left out: name one of them itself to search it.
    Raises NotADirectoryError; stops taking files at FILES_MAX or FOLDER_BYTES_MAX and counts the rest.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: name one that holds text, Markdown or Python files")
    found: list[Document] = []
    passed_over: Counter[str] = Counter()
    total = 0
    for place, folders, names in os.walk(folder):
        kept = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("."))
        passed_over["folders left out"] += len(folders) - len(kept)
        folders[:] = kept
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() not in ENDINGS or path.is_symlink() or not path.is_file():
                continue
            stat = path.stat()
            if not name.isprintable():
                passed_over["oddly named"] += 1
            elif stat.st_size > FILE_BYTES_MAX:
                passed_over["too large"] += 1
            elif len(found) >= FILES_MAX or total + stat.st_size > FOLDER_BYTES_MAX:
                passed_over["beyond the limit"] += 1
            else:
                total += stat.st_size
                found.append(Document(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns))
    return Listing(folder, tuple(found), dict(+passed_over))


def read_document(folder: Path, name: str) -> list[str] | None:
    """The lines of one file of the folder, or None if it is not there, not text, or lies outside."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX or b"\0" in data:
        return None
    try:
        return lines_of(data)
    except UnicodeDecodeError:
        return None


class Cited(BaseModel):
    """What stands today where claims point, in their order; "" where there is nothing to read."""

    texts: list[str]


def read_cited(folder: str, claims: list[dict[str, Any]]) -> Cited:
    """Read as many lines as each claim has, from the line it names."""
    texts: list[str] = []
    for claim in map(Passage.model_validate, claims):
        lines = read_document(Path(folder), claim.source) or []
        last = claim.line - 1 + min(claim.text.count("\n") + 1, CITED_LINES_MAX)
        texts.append("\n".join(lines[max(claim.line - 1, 0) : last]))
    return Cited(texts=texts)
