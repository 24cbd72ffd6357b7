"""The README's runnable blocks run as written, and print what the page says."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.report import BEGIN, END, markdown
from tests.readme import blocks, like, problems

ROOT = Path(__file__).parents[1]


def test_every_runnable_block_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert len(list(blocks(ROOT / "README.md"))) > 1
    assert not list(problems(ROOT / "README.md", tmp_path))


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("run 42: 7 records", "run 42: 13 records", True),
        ("run 42: 7 records", "run 42: 7 rows", False),
        ("1 s  draft", "0.003 s     draft", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...", "a", True),
        ("a", "a\nb", False),
        ("a b...", "a b c d", True),
        ("a b...", "a c", False),
        ("", "a", False),
    ],
)
def test_how_output_is_compared(expected: str, printed: str, same: bool) -> None:
    assert like(expected.split("\n"), printed.split("\n")) is same


def test_a_page_that_is_wrong_is_found_out(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python run one.py\nprint(1)      # 2\n```\n\n"
        "```console run\n$ echo hello\nhello\n$ echo ada; exit 1\nada\n$ echo bye\nhi\n```\n\n"
        "```python file two.py\nraise SystemExit(1)\n```\n"
    )
    told = list(problems(page, tmp_path))
    assert [line.split(":")[1] for line in told] == ["1", "1", "5", "5"]
    assert "`echo ada; exit 1` ended with 1" in told[2]
    assert (tmp_path / "two.py").exists() and Path(sys.executable).exists()


def test_the_measured_tables_are_those_of_the_last_full_run() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    written = page[page.index(BEGIN) : page.index(END) + len(END)]
    assert written == markdown().strip(), "-> put `python -m tests.benchmarks --table` between the markers"
