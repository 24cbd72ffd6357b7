"""The three agents of the docs desk: plain functions of what they are shown.

They read files only inside a call, so every reading is on record, and they spend a token for every four
bytes they read, as a model would have.
"""

from collections.abc import Iterable, Sequence

from examples.docs_desk.claims import pick
from examples.docs_desk.folder import Cited, read_cited
from examples.docs_desk.index import query_index
from examples.docs_desk.queries import queries
from examples.docs_desk.words import covered, terms
from fsm import View
from machines.review_loop import Brief, Draft, Findings, Notes, Passage, Verdict

BYTES_PER_TOKEN = 4
LEAD_SHARE = 0.5


def search(view: View[Brief | Verdict]) -> Findings:
    """Find passages about the task; a rejection says what was missing and widens the search."""
    notes = notes_of(view)
    wanted = terms(notes.task)
    missing = view.payload.missing if isinstance(view.payload, Verdict) else []
    asked, limit = queries(wanted, missing, notes.rejections)
    found: Findings = view.call_sync("search_index", query_index, notes.material, asked, limit, returns=Findings)
    view.spend(tokens=tokens_of(passage.text for passage in found.passages))
    return found


def write(view: View[Findings]) -> Draft:
    """Answer with the lines that say most of the question, each with its source."""
    claims = pick(terms(notes_of(view).task), view.payload.passages)
    view.spend(tokens=tokens_of(passage.text for passage in [*view.payload.passages, *claims]))
    return Draft(claims=claims)


def review(view: View[Draft]) -> Verdict:
    """Open every cited file: each claim must stand there, and together they must say the whole question."""
    notes, claims = notes_of(view), view.payload.claims
    places = [claim.model_dump() for claim in claims]
    cited: Cited = view.call_sync("read_cited", read_cited, notes.material, places, returns=Cited)
    view.spend(tokens=tokens_of([*cited.texts, *(claim.text for claim in claims)]))
    return judged(terms(notes.task), claims, cited.texts)


def notes_of(view: View[Brief | Verdict] | View[Findings] | View[Draft]) -> Notes:
    """The run's memory, which this machine declares to be Notes."""
    assert isinstance(view.memory, Notes), "ReviewLoop remembers Notes"
    return view.memory


def tokens_of(texts: Iterable[str]) -> int:
    """The price of reading: a token for every BYTES_PER_TOKEN bytes, rounded up."""
    return -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // BYTES_PER_TOKEN)


def judged(wanted: Sequence[str], claims: Sequence[Passage], standing: Sequence[str]) -> Verdict:
    """The verdict on a draft, given what its sources say today; every fault is named, none is scored away."""
    said = [covered(wanted, f"{claim.source} {claim.text}") for claim in claims]
    missing = [term for term in wanted if not any(term in one for one in said)]
    most = max(said, key=len, default=[])
    false = [
        f"{claim.source}:{claim.line}" for claim, text in zip(claims, standing, strict=True) if not stands(claim, text)
    ]
    faults: list[str] = []
    if not claims:
        faults.append("There is nothing to cite.")
    if false:
        faults.append(f"Not what the file says: {', '.join(false)}.")
    if missing:
        faults.append(f"No claim says {', '.join(missing)}.")
    if claims and len(most) < LEAD_SHARE * len(wanted):
        faults.append(f"A patchwork: no claim says more than {len(most)} of {len(wanted)} terms.")
        missing = missing or [term for term in wanted if term not in most]
    return Verdict(good=not faults, critique=" ".join(faults), missing=missing)


def stands(claim: Passage, text: str) -> bool:
    """Whether a claim begins in the first line read and stands there letter for letter."""
    first_line = text.partition("\n")[0]
    return bool(claim.text.strip()) and 0 <= text.find(claim.text) <= len(first_line)
