"""Where traces come from: files, folders of files, or standard input, each in a format that its shape tells."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from fsm.replay.traces.lines import numbered, read_lines
from fsm.replay.traces.problems import BYTES_MAX, TracesRefused
from fsm.replay.traces.trace import Trace
from fsm.replay.traces.whowhen import read_documents

Format = Literal["auto", "lines", "whowhen"]

STDIN = "-"
SUFFIXES = (".json", ".jsonl", ".ndjson")
TOTAL_BYTES_MAX = 1 << 28


def read_traces(sources: Sequence[str], stdin: BinaryIO, form: Format = "auto") -> list[Trace]:
    """All runs of the sources, which are paths or `-`; raises `TracesRefused` with everything that is wrong."""
    traces: list[Trace] = []
    problems: list[str] = []
    left = TOTAL_BYTES_MAX
    for where, name, stream in _opened(sources, stdin):
        with stream:
            body = stream.read(left + 1).removeprefix(b"\xef\xbb\xbf")
        left -= len(body)
        if left < 0:
            problem = f"{where}: with it there are more than {TOTAL_BYTES_MAX:,} bytes"
            raise TracesRefused(problems=(problem,), next="give fewer runs at a time")
        if (form if form != "auto" else _format(body)) == "whowhen":
            traces += read_documents(body, where, name, problems)
        else:
            traces += read_lines(body, where, problems)
    if not traces and not problems:
        problems.append(f"no message in {', '.join(sources)}")
    if problems:
        raise TracesRefused(problems=tuple(problems))
    return traces


def _opened(sources: Sequence[str], stdin: BinaryIO) -> Iterator[tuple[str, str, BinaryIO]]:
    """Each source's place as it is told, the name of a run that it is, and the stream to read."""
    for source in sources:
        if source == STDIN:
            yield "standard input", STDIN, stdin
            continue
        for path in _files(Path(source)):
            try:
                stream = path.open("rb")
            except OSError as error:
                problem = f"{path}: {error.strerror}"
                raise TracesRefused(problems=(problem,), next="check the path, or give - for standard input") from None
            yield str(path), f"{path.absolute().parent.name}/{path.stem}", stream


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file()]
    if not found:
        problem = f"{path}: no file that ends with {', '.join(SUFFIXES)} is in that folder"
        raise TracesRefused(problems=(problem,), next="name the file, whatever it is called")
    return sorted(found, key=_by_number)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """So that 10.json comes after 9.json."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(path))]


def _format(body: bytes) -> Format:
    """A document with a `history` is Who&When, also where the first line begins a longer one."""
    first = next((line for _, line in numbered(body)), b"")
    for text in (first, body if len(body) <= BYTES_MAX else b""):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        return "whowhen" if isinstance(found, dict) and "history" in found else "lines"
    return "lines"
