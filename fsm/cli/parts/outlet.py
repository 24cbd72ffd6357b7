"""Where a verb writes what it makes: standard output, or a file that appears under its name only when it is whole."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

STDOUT = "-"


@contextmanager
def outlet(out: str) -> Iterator[BinaryIO]:
    """The stream for `out`, "-" for standard output. An existing file is never replaced."""
    if out == STDOUT:
        yield sys.stdout.buffer
        return
    if os.path.lexists(out):
        raise click.UsageError(f"{out} exists already\n  -> give another name")
    part = Path(f"{out}.part")
    try:
        with part.open("xb") as stream:
            try:
                yield stream
                stream.flush()
                os.link(part, out)  # unlike a rename it fails where somebody else was faster
            finally:
                part.unlink()
    except OSError as error:
        told = f"{error.filename or out} cannot be written: {error.strerror}"
        raise click.ClickException(f"{told}\n  -> give another path") from error
