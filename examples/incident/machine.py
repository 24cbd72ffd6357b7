"""The incident as a machine: an investigator and a responder, and where each failure leads.

The agents are simple, and the investigator is rude: a failed call does not keep it from making the next one,
as a model with a tool would. What keeps it from hammering is declared below, in `Incident`.
"""

from pydantic import BaseModel

from examples.incident.client import get, post
from fsm import AgentFailed, CallFailed, CallRefused, Machine, Retry, Ruling, State, View, everywhere, minutes
from guards import Deadline, LoopCap, Strikes, TokenBudget

SIGNALS = ("errors", "latency", "traffic", "saturation")
QUESTION_TOKENS = 40
REPORT_TOKENS = 200


class Alert(BaseModel):
    """What seems wrong. `site` is where the metrics are and where reports go, as http://127.0.0.1:8000."""

    service: str
    site: str


class Reading(BaseModel):
    """What one signal says."""

    signal: str
    value: float


class Findings(BaseModel):
    """What the metrics say of the service."""

    readings: list[Reading]


class Report(BaseModel):
    """What is told to people."""

    service: str
    text: str


class Filed(BaseModel):
    """Where the report is: `place` is "reports" or "pages"."""

    place: str
    number: int


class Case(BaseModel):
    """What a run remembers: neither findings nor failures say what the alert was."""

    service: str = ""
    site: str = ""


Known = Findings | CallRefused | AgentFailed | Alert
"""What there is to report: what was found, or why nothing was; the bare alert, where looking was refused."""


def note_alert(case: Case, alert: Alert) -> Case:
    return Case(service=alert.service, site=alert.site)


# --- the agents -----------------------------------------------------------------------------------


def look(view: View[Alert]) -> Findings:
    """Ask for every signal, whatever became of the one before; a key makes good answers last over retries."""
    alert = view.payload
    readings: list[Reading] = []
    failure: CallFailed | None = None
    for signal in SIGNALS:
        view.spend(tokens=QUESTION_TOKENS)
        try:
            readings.append(view.call_sync("metrics", measure, alert.site, signal, returns=Reading, key=signal))
        except CallFailed as failed:
            failure = failed
    if failure is not None:
        raise failure
    return Findings(readings=readings)


def report(view: View[Known]) -> Filed:
    """File what was found, or why nothing was."""
    return tell(view, "reports")


def page(view: View[Known]) -> Filed:
    """The same, by the pager: it wakes somebody, so it is for when reports cannot be filed."""
    return tell(view, "pages")


def measure(site: str, signal: str) -> Reading:
    return get(f"{site}/metrics/{signal}", Reading)


def tell(view: View[Known], place: str) -> Filed:
    """The report, under one key: a service that took it before its answer was lost does not take it twice."""
    case: Case = view.memory
    view.spend(tokens=REPORT_TOKENS)
    text = words(view.payload, view.refusal)
    filed: Filed = view.call_sync(place, send, case.site, place, case.service, text, returns=Filed, key="report")
    return filed


def send(site: str, place: str, service: str, text: str, idempotency_key: str) -> Filed:
    return post(f"{site}/{place}", Report(service=service, text=text), idempotency_key, Filed)


def words(found: Known, refusal: Ruling | None) -> str:
    match found:
        case Findings(readings=readings):
            return ", ".join(f"{reading.signal} {reading.value:g}" for reading in readings)
        case CallRefused(call=call, numbers=numbers):
            times = numbers.get("strikes") or numbers.get("failures")
            return f"nobody can see: {call} failed {times} times in a row"
        case AgentFailed(message=message):
            return f"nobody can see: {message}"
        case Alert():
            return f"nobody has looked: {refusal}"


# --- the machine ----------------------------------------------------------------------------------


class Incident(Machine, memory=Case):
    """An alert is investigated and reported; where each failure of a service leads is declared here."""

    filed = State(final="completed")
    unfiled = State(final="failed")
    investigate = State(
        initial=Alert,
        agent=look,
        timeout_s=10,
        tokens_max=len(SIGNALS) * QUESTION_TOKENS * 3,
        retry=Retry(attempts_max=3, base_s=0.1, cap_s=2),
        guards=[Strikes("metrics", 3)],
        otherwise=unfiled,
        remember=note_alert,
    )
    respond = State(
        agent=report,
        timeout_s=10,
        tokens_max=REPORT_TOKENS * 3,
        retry=Retry(attempts_max=3, base_s=0.1, cap_s=2),
        fallback=page,
    )

    found = investigate.to(respond, on=Findings)
    blind = investigate.to(respond, on=CallRefused)
    failed = investigate.to(respond, on=AgentFailed)
    told = respond.to(filed, on=Filed)
    lost = respond.to(unfiled, on=AgentFailed)
    limits = everywhere(LoopCap(20), TokenBudget(1_000), Deadline(minutes(1)), otherwise=unfiled)
