"""The docs desk's agents and their helpers, without the runtime: functions of a view."""

import sysconfig
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlite_utils import Database

from examples.docs_desk import library
from examples.docs_desk.claims import CLAIMS_MAX, pick
from examples.docs_desk.desk import judged, read_cited, review, search, tokens_of, write
from examples.docs_desk.library import index_file, list_folder, query_index, read_document, ready_index
from examples.docs_desk.passages import PASSAGE_LINES_MAX, cut, lines_of, statements
from examples.docs_desk.report import shown
from examples.docs_desk.words import PASSAGES, covered, pieces, queries, stem, terms
from fsm.testing import StubView
from machines.review_loop import (
    Brief,
    Draft,
    Findings,
    Notes,
    Passage,
    Verdict,
    note_brief,
    note_critique,
)
from tests.examples.notes import ALARMS, LAMP, write_notes

ODD_LINES = st.lists(st.sampled_from([*LAMP.split("\n"), *ALARMS.split("\n"), "", '"""', "    '''", "```"]))


def view(payload: BaseModel, notes: Notes) -> Any:
    return StubView(payload=payload, memory=notes)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCS_DESK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write_notes(tmp_path / "docs")


def worked(task: str, place: Path, rejections_max: int = 3) -> tuple[Draft, list[Verdict]]:
    """The whole loop by hand: the last draft, and every verdict."""
    brief = Brief(task=task, material=str(place))
    notes, event, verdicts = note_brief(Notes(), brief), brief, list[Verdict]()
    while True:
        draft = write(view(search(view(event, notes)), notes))
        verdict = review(view(draft, notes))
        verdicts.append(verdict)
        if verdict.good or len(verdicts) > rejections_max:
            return draft, verdicts
        notes, event = note_critique(notes, verdict), verdict  # type: ignore[assignment]


# --- the agents -----------------------------------------------------------------------------------


def test_an_answer_is_cited_to_its_line(docs):
    draft, verdicts = worked("how do I silence an alarm for a night?", docs)
    assert [verdict.good for verdict in verdicts] == [True]
    assert draft.claims[0] == Passage(
        source="alarms.md",
        line=4,
        text="To silence an alarm, acknowledge it in the console, or mute the lamp for a night.",
    )


def test_a_question_without_an_answer_is_rejected_for_its_missing_terms_every_time(docs):
    _, verdicts = worked("how much does an alarm horse cost?", docs)
    assert [verdict.good for verdict in verdicts] == [False] * 4
    assert all({"horse", "cost"} <= set(verdict.missing) for verdict in verdicts)
    assert all("horse" in verdict.critique for verdict in verdicts)


def test_a_rejection_widens_the_search(docs):
    notes = Notes(task="when is the manager told about a lamp that is dimmed?", material=str(docs))
    first = view(Brief(task=notes.task, material=notes.material), notes)
    assert {passage.source for passage in search(first).passages} == {"src/lamp.py"}
    again = view(Verdict(good=False, missing=["manager"]), notes.model_copy(update={"rejections": 2}))
    assert {passage.source for passage in search(again).passages} == {"alarms.md", "src/lamp.py"}
    assert [name for name, _ in first.calls] == ["search_index"]
    assert 0 < first.spent.tokens < again.spent.tokens


def test_the_standard_library_answers(tmp_path):
    place = Path(sysconfig.get_path("stdlib")) / "asyncio"
    draft, verdicts = worked("how do I cancel a task when a timeout occurs?", place)
    assert verdicts[-1].good
    for claim in draft.claims:
        assert claim.text in (place / claim.source).read_text()


def test_agents_spend_a_token_for_every_four_bytes_they_read():
    notes = Notes(task="dim the lamp")
    one = view(Findings(passages=[Passage(source="a.py", line=1, text="x" * 401)], searched=1), notes)
    write(one)
    assert one.spent.tokens == 101
    assert tokens_of(["é", "abc"]) == 2


def test_the_reviewer_reads_the_file_again(docs):
    notes = Notes(task="silence an alarm", material=str(docs))
    draft, _ = worked(notes.task, docs)
    assert review(view(draft, notes)).good
    (docs / "alarms.md").write_text("Changed.\n" + ALARMS.replace("To silence an alarm", "To quiet an alarm"))
    verdict = review(view(draft, notes))
    assert not verdict.good
    assert "Not what the file says: alarms.md:4" in verdict.critique


@pytest.mark.parametrize(
    "claim",
    [
        Passage(source="alarms.md", line=5, text="To silence an alarm"),  # another line
        Passage(source="alarms.md", line=0, text="Alarms"),
        Passage(source="alarms.md", line=4, text=""),
        Passage(source="alarms.md", line=4000, text="silence an alarm"),
        Passage(source="../docs/alarms.md/../../secret.txt", line=1, text="silence an alarm"),
        Passage(source="/etc/hostname", line=1, text="silence an alarm"),
        Passage(source="gone.md", line=1, text="silence an alarm"),
    ],
)
def test_a_claim_that_does_not_stand_is_rejected(docs, claim):
    (docs.parent / "secret.txt").write_text("silence an alarm")
    assert not review(view(Draft(claims=[claim]), Notes(task="silence an alarm", material=str(docs)))).good


def test_claims_that_each_say_little_are_a_patchwork():
    claims = [Passage(source=f"{word}.md", line=1, text=word) for word in ("lamp", "depot", "alarm", "night")]
    verdict = judged(["lamp", "depot", "alarm", "night"], claims, ["lamp", "depot", "alarm", "night"])
    assert not verdict.good
    assert "patchwork: no claim says more than 1 of 4" in verdict.critique


# --- words and queries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    [
        "limit limits limited limiting limitation",
        "cancel cancels cancelled canceling cancellation",
        "parse parses parsed parsing parser",
        "copy copies copied copying",
        "call calls called calling",
        "class classes",
        "timeout timeouts",
        "Process processes PROCESSING",
    ],
)
def test_the_forms_of_a_word_share_a_stem(family):
    assert len({stem(word) for word in family.split()}) == 1


def test_terms_are_what_a_question_is_about():
    assert terms("How do I limit how long an asyncio task may run?") == ["limit", "asyncio", "task", "run"]
    assert terms("what does wait_for do to tasks, and to a task?") == ["wait_for", "tasks"]
    assert terms("how do I do it? ___") == []
    assert len(terms(" ".join(f"word{number}" for number in range(40)))) == 12


def test_names_are_read_as_words():
    assert pieces("ThreadPoolExecutor2") == ["Thread", "Pool", "Executor", "2"]
    assert pieces("HTTPServer") == ["HTTP", "Server"]
    assert pieces("größe") == ["größe"]
    assert covered(["pool", "cancelled", "depot"], "pool_cancel(ThreadPool)") == ["pool", "cancelled"]


def test_every_attempt_is_wider():
    widths = [queries(["dim", "lamp", "slowly"], ["slowly"], rejections) for rejections in range(5)]
    assert [limit for _, limit in widths] == [*PASSAGES, PASSAGES[-1]]
    for (before, _), (after, _) in pairwise(widths):
        assert set(before) <= set(after)
    assert queries([], [], 0) == ([], 0)


@given(question=st.text(max_size=80), rejections=st.integers(0, 3))
def test_no_question_is_query_syntax(question, rejections):
    wanted = terms(question)
    db = Database(memory=True)
    try:
        db.table("passage").insert({"text": ALARMS})
        db.table("passage").enable_fts(["text"], tokenize="porter unicode61")
        for query in queries(wanted, wanted[:1], rejections)[0]:
            db.execute("select rowid from passage_fts where passage_fts match ?", [query]).fetchall()
    finally:
        db.close()


# --- cutting and picking --------------------------------------------------------------------------


@given(lines=ODD_LINES, python=st.booleans())
def test_every_passage_stands_where_it_says_and_no_line_is_lost(lines, python):
    seen: list[int] = []
    for part in cut(lines, python=python):
        text = part.text.split("\n")
        assert lines[part.line - 1 : part.line - 1 + len(text)] == text
        assert len(text) <= PASSAGE_LINES_MAX
        seen += [part.line - 1 + at for at, line in enumerate(text) if line.strip()]
    assert seen == [at for at, line in enumerate(lines) if line.strip()]


@given(lines=ODD_LINES, source=st.sampled_from(["a.py", "a.md", "a.txt"]))
def test_every_statement_stands_where_it_says(lines, source):
    for one in statements(source, 1, "\n".join(lines)):
        first, *_ = one.text.split("\n")
        assert first in lines[one.line - 1]
        assert one.text in "\n".join(lines[one.line - 1 :])


def test_headings_are_the_names_a_passage_stands_under():
    assert [part.heading for part in cut(LAMP.split("\n"), python=True)] == ["", "Lamp", "Lamp.dim"]
    assert [part.heading for part in cut(ALARMS.split("\n"), python=False)] == [
        "Alarms",
        "Alarms > Escalation",
    ]


def test_a_definition_goes_with_the_first_sentence_of_its_docstring():
    found = list(statements("src/lamp.py", 1, LAMP))
    assert [(one.kind, one.line) for one in found] == [
        ("sentence", 1),
        ("definition", 6),
        ("sentence", 7),
        ("definition", 9),
        ("sentence", 12),
        ("sentence", 14),
        ("comment", 16),
    ]
    assert found[3].text.endswith("Dim the lamp to a level between 0 and 9.")
    assert (
        shown(Passage(source="src/lamp.py", line=9, text=found[3].text))[0] == "def dim(self, level, *, slowly=False)"
    )


def test_a_sentence_over_two_lines_is_one_claim():
    (last,) = [one for one in statements("alarms.md", 1, ALARMS) if "manager" in one.text]
    assert (last.line, last.text.count("\n")) == (8, 1)


def test_claims_are_few_and_none_is_said_twice():
    passages = [Passage(source=f"{at}.md", line=1, text=ALARMS) for at in range(20)]
    claims = pick(["alarm", "lamp", "manager"], passages)
    assert 1 < len(claims) <= CLAIMS_MAX
    assert len({claim.text for claim in claims}) == len(claims)
    assert pick(["horse"], passages) == []


def test_lines_are_counted_as_an_editor_counts_them():
    assert lines_of("a\r\nb\x0cc\u2028d\n".encode()) == ["a", "b\x0cc\u2028d", ""]


# --- the folder and its index ---------------------------------------------------------------------


def test_only_readable_text_of_the_folder_is_listed(docs, monkeypatch):
    (docs / "picture.png").write_bytes(b"\x89PNG")
    (docs / "large.txt").write_bytes(b"x" * 2000)
    (docs / "tests").mkdir()
    (docs / "tests" / "test_lamp.py").write_text("lamp")
    (docs / ".git").mkdir()
    (docs / "link.md").symlink_to("/etc/hostname")
    monkeypatch.setattr(library, "FILE_BYTES_MAX", 1000)
    listing = list_folder(docs)
    assert [document.name for document in listing.documents] == ["alarms.md", "src/lamp.py"]
    assert listing.passed_over == {"folders left out": 2, "too large": 1}
    assert [document.name for document in list_folder(docs / "tests").documents] == ["test_lamp.py"]
    monkeypatch.setattr(library, "FILES_MAX", 1)
    assert list_folder(docs).passed_over["beyond the limit"] == 1
    with pytest.raises(NotADirectoryError, match="name one that holds text"):
        list_folder(docs / "alarms.md")


def test_what_is_not_text_or_not_inside_is_not_read(docs):
    (docs / "latin.txt").write_bytes(b"caf\xe9")
    (docs / "binary.txt").write_bytes(b"a\0b")
    (docs.parent / "outside.txt").write_text("outside")
    for name in ("latin.txt", "binary.txt", "../outside.txt", "gone.txt", "src"):
        assert read_document(docs, name) is None
    claim = Passage(source="alarms.md", line=3, text="two\nlines")
    assert read_cited(str(docs), [claim]) == ["\n".join(ALARMS.split("\n")[2:4])]


def test_an_index_is_built_once_and_again_when_a_file_changes(docs):
    (docs / "latin.txt").write_bytes(b"caf\xe9")
    heard: list[str] = []
    first = ready_index(list_folder(docs), lambda document: heard.append(document.name))
    assert (first.files, first.unreadable, heard) == (2, 1, ["alarms.md", "latin.txt", "src/lamp.py"])
    assert first.took_s > 0
    assert ready_index(list_folder(docs)).took_s == 0
    (docs / "new.txt").write_text("A horse draws the lamp cart.")
    assert query_index(str(docs), ['"horse"'], 5).passages == [
        Passage(source="new.txt", line=1, text="A horse draws the lamp cart.")
    ]


def test_a_broken_or_unfinished_index_is_built_anew(docs, cache):
    ready_index(list_folder(docs))
    index_file(docs).write_bytes(b"not a database, but long enough to be read as one" * 100)
    index_file(docs).with_suffix(".unfinished").write_bytes(b"half")
    assert ready_index(list_folder(docs)).took_s > 0
    assert query_index(str(docs), ['"escalation"'], 5).passages[0].line == 6


def test_one_of_several_builds_the_index(docs):
    listing = list_folder(docs)
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: ready_index(listing), range(4)))
    assert sum(index.took_s > 0 for index in built) == 1


def test_camel_case_names_are_found_by_their_words(docs):
    (docs / "pool.py").write_text("class LampPoolKeeper:\n    pass\n")
    assert query_index(str(docs), ['("pool" AND "keeper")'], 5).passages[0].source == "pool.py"
