"""The same incident, for many runs at once: what one has found out about the metrics, all of them heed.

In `Incident` every run learns for itself that the metrics are down, at three requests each. Here a breaker tells the
next one at the door, and one budget pays for all who look into an incident: near its end they only glance.
"""

from examples.incident.machine import QUESTION_TOKENS, Alert, Findings, Incident, Reading, measure, note_alert
from fsm import AgentFailed, CallRefused, State, View, any_of
from guards import Breaker, TokenBudget

COOLDOWN_S = 1.0
METRICS = Breaker("metrics", failures_max=3, cooldown_s=COOLDOWN_S)
ALL_LOOKS = TokenBudget(2_000, scope="label:incident")
LOOKS_WITH_CARE = TokenBudget(2_000, scope="label:incident", warn_at=1_200)  # the same budget, asked sooner


def triage(view: View[Alert]) -> Alert:
    """Whether the alert is for us; in this story it is."""
    view.spend(tokens=QUESTION_TOKENS)
    return view.payload


def glance(view: View[Alert]) -> Findings:
    """The cheaper agent: one question instead of four."""
    view.spend(tokens=QUESTION_TOKENS)
    return Findings(readings=[view.call_sync("metrics", measure, view.payload.site, "errors", returns=Reading)])


class Outage(Incident):
    """An incident whose runs share a breaker and a budget; who is refused reports what is known without looking."""

    arrive = State(initial=Alert, agent=triage, timeout_s=10, tokens_max=QUESTION_TOKENS, remember=note_alert)
    hurry = State(
        agent=glance,
        timeout_s=10,
        tokens_max=QUESTION_TOKENS,
        guards=[METRICS, ALL_LOOKS],
        otherwise=Incident.respond,
    )
    investigate = Incident.investigate.but(
        initial=None,
        remember=None,
        guards=[METRICS, LOOKS_WITH_CARE],
        otherwise={"budget_warned": hurry, "*": Incident.respond},
    )

    ours = arrive.to(investigate, on=Alert)
    unsorted = arrive.to(Incident.unfiled, on=AgentFailed)
    found = any_of(investigate, hurry).to(Incident.respond, on=Findings)
    blind = any_of(investigate, hurry).to(Incident.respond, on=CallRefused)
    failed = any_of(investigate, hurry).to(Incident.respond, on=AgentFailed)
