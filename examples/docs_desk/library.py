"""A folder as a library: its readable files, and a full-text index of their passages.

Only regular UTF-8 files with a known ending are read, up to stated limits; what is passed over is counted,
never silently missing. Links are not followed, so nothing outside the folder is ever read.

The index is one SQLite file per folder, in the user's cache, built once and read until the folder's files
change; of several processes one builds it and the others wait. It is written beside its place and moved there
when it is whole, so a killed build leaves nothing behind that would be taken for an index.
"""

import fcntl
import hashlib
import os
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from attrs import field, frozen
from sqlite_utils import Database

from examples.docs_desk.passages import PYTHON, cut, is_telling, lines_of
from examples.docs_desk.words import pieces
from machines.review_loop import Findings, Passage

FILES_MAX = 20_000
FILE_BYTES_MAX = 2 * 1024 * 1024
FOLDER_BYTES_MAX = 512 * 1024 * 1024

ENDINGS = frozenset({".py", ".pyi", ".md", ".markdown", ".rst", ".txt"})
LEFT_OUT = frozenset(
    "__pycache__ site-packages dist-packages node_modules build dist venv test tests idle_test".split()
)

FORMAT = 2
QUERIES_MAX = 32
FOUND_MAX = 64
PASSAGE_CHARS_MAX = 8_000

CAMEL = re.compile(r"\b[A-Za-z]*[a-z][A-Z]\w*")

RANKED = """
    select passage.source, passage.line, passage.text
    from passage_fts join passage on passage.rowid = passage_fts.rowid
    where passage_fts match ?
    order by bm25(passage_fts, 3.0, 1.0, 0.5) * passage.worth
    limit ?
"""


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


@frozen
class Index:
    """A ready index: where it is, what it covers, and how long it took to build, if it was built just now."""

    path: Path
    files: int
    passages: int
    unreadable: int
    took_s: float = 0.0


def index_file(folder: Path) -> Path:
    """Where a folder's index is kept: `DOCS_DESK_CACHE`, or else the user's cache folder."""
    key = hashlib.sha256(str(folder.expanduser().resolve()).encode("utf-8", "replace")).hexdigest()[:16]
    return cache_folder() / f"{key}.db"


def cache_folder() -> Path:
    """The folder of all indexes; deleting it costs only the time to build them again."""
    if named := os.environ.get("DOCS_DESK_CACHE"):
        return Path(named).expanduser()
    home = {"darwin": "~/Library/Caches", "win32": os.environ.get("LOCALAPPDATA", "~/AppData/Local")}
    base = os.environ.get("XDG_CACHE_HOME") or home.get(sys.platform, "~/.cache")
    return Path(base).expanduser() / "turnstile" / "docs_desk"


def ready_index(listing: Listing, on_file: Callable[[Document], None] = lambda _: None) -> Index:
    """The folder's index, built if it is missing or the files have changed; `on_file` hears of each file."""
    path = index_file(listing.folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return opened(path, listing.stamp) or built(path, listing, on_file)


def opened(path: Path, stamp: str) -> Index | None:
    """The index at a path if it is whole, of this format and of these files."""
    if not path.is_file():
        return None
    db = Database(path)
    try:
        about = next(iter(db["about"].rows), {})
    except sqlite3.DatabaseError:
        return None
    finally:
        db.close()
    if about.get("stamp") != stamp or about.get("format") != FORMAT:
        return None
    return Index(path, about["files"], about["passages"], about["unreadable"])


def built(path: Path, listing: Listing, on_file: Callable[[Document], None]) -> Index:
    """Write the index anew; the old one answers until the new one takes its place."""
    began_s = time.perf_counter()
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    unreadable: list[str] = []
    db = Database(unfinished)
    try:
        db.execute("pragma journal_mode = off")
        db.execute("pragma synchronous = off")
        table = db.table("passage")
        table.create({"source": str, "line": int, "heading": str, "text": str, "names": str, "worth": float})
        table.insert_all(rows(listing, on_file, unreadable), batch_size=1000)
        table.enable_fts(["heading", "text", "names"], tokenize="porter unicode61")
        files = len(listing.documents) - len(unreadable)
        index = Index(path, files, table.count, len(unreadable), time.perf_counter() - began_s)
        about = {"format": FORMAT, "stamp": listing.stamp, "folder": str(listing.folder)}
        counts = {"files": index.files, "passages": index.passages, "unreadable": index.unreadable}
        db.table("about").insert({**about, **counts})
    finally:
        db.close()
    os.replace(unfinished, path)
    return index


def rows(listing: Listing, on_file: Callable[[Document], None], unreadable: list[str]) -> Iterator[dict[str, Any]]:
    """Every passage of every document, as a row; the names of files that are not text go to `unreadable`.

    Passages of more than PASSAGE_CHARS_MAX are data or minified code, nothing to cite, and are left out.
    """
    for document in listing.documents:
        lines = read_document(listing.folder, document.name)
        on_file(document)
        if lines is None:
            unreadable.append(document.name)
            continue
        where = document.name.rsplit(".", 1)[0].replace("/", " ")
        for part in cut(lines, python=document.name.endswith(PYTHON)):
            if len(part.text) > PASSAGE_CHARS_MAX:
                continue
            used = [line for line in part.text.split("\n") if line.strip()]
            telling = sum(map(is_telling, used)) / len(used)
            yield {
                "source": document.name,
                "line": part.line,
                "heading": f"{where} {part.heading}",
                "text": part.text,
                "names": " ".join(parts_of_names(f"{part.heading} {part.text}")),
                "worth": round(0.5 + 0.5 * telling, 3),
            }


def parts_of_names(text: str) -> list[str]:
    """The words inside CamelCase names, which the index would otherwise know only as one word."""
    return sorted({part for name in set(CAMEL.findall(text)) for part in pieces(name)})


def query_index(folder: str, queries: list[str], limit: int) -> Findings:
    """The best passage of each query in turn, then the second best, none twice, at most `limit` (FOUND_MAX).

    An index that is missing or no longer of these files is built first.
    """
    index = ready_index(list_folder(Path(folder)))
    limit = min(limit, FOUND_MAX)
    db = Database(index.path)
    try:
        ranked = [db.execute(RANKED, [query, limit]).fetchall() for query in queries[:QUERIES_MAX]]
    finally:
        db.close()
    in_turn = (row for rank in zip_longest(*ranked) for row in rank if row)
    found = {(source, line): text for source, line, text in in_turn}
    passages = [Passage(source=source, line=line, text=text) for (source, line), text in found.items()]
    return Findings(passages=passages[:limit], searched=index.files)
