"""Small made-up events, and a Hypothesis strategy for sets of them that seeks out the edges of the definitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from c360_stream.contracts.events import EPOCH
from c360_stream.contracts.kinds import InputKind
from tests.unit.features.deliveries import Event

FIRST_DAY = 19_800
START = EPOCH + timedelta(days=FIRST_DAY)


def at(day: float, hours: float = 0.0) -> datetime:
    """A moment, `day` days and some hours after the start of the test's world."""
    return START + timedelta(days=day, hours=hours)


def event(event_id: str, account: str, when: datetime, event_type: str, **fields: Any) -> Event:
    """An event of the input contract."""
    occurred_at = when.astimezone(UTC).isoformat()
    return {
        "event_id": event_id,
        "account_id": account,
        "event_type": event_type,
        "occurred_at": occurred_at,
        **fields,
    }


_USERS = st.sampled_from([None, "u1", "u2", "u3"])
_PRODUCT = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(
            [
                *("page_viewed", "session_start", "task_created", "comment_added", "invite_sent"),
                *("export_requested", "board_created", "gantt_opened", "api_called", "search_run"),
            ]
        ),
        "user_id": _USERS,
        "feature": st.sampled_from([None, None, "reports", "whiteboards"]),
    }
)
_MRR = st.sampled_from([0, 4_900, 9_900, 20_000])
_SEATS = st.sampled_from([0, 1, 5])
_RENEWAL = st.sampled_from([None, at(3).isoformat(), at(400, 7).isoformat()])
_BILLING = st.one_of(
    st.fixed_dictionaries(
        {
            "event_type": st.just("subscription_started"),
            "plan": st.just("team"),
            "mrr_cents": _MRR,
            "seats": _SEATS,
            "renewal_at": _RENEWAL,
        }
    ),
    st.fixed_dictionaries(
        {
            "event_type": st.just("subscription_changed"),
            "mrr_cents": st.none() | _MRR,
            "seats": st.none() | _SEATS,
            "renewal_at": _RENEWAL,
        }
    ),
    st.just({"event_type": "subscription_cancelled"}),
    st.fixed_dictionaries(
        {
            "event_type": st.sampled_from(["invoice_paid", "invoice_payment_failed"]),
            "amount_cents": st.just(100),
        }
    ),
)
_SUPPORT = st.one_of(
    st.fixed_dictionaries(
        {
            "event_type": st.just("ticket_opened"),
            "ticket_id": st.just("t"),
            "priority": st.sampled_from(["low", "normal", "high", "urgent"]),
        }
    ),
    st.just({"event_type": "ticket_solved", "ticket_id": "t"}),
    st.fixed_dictionaries({"event_type": st.just("csat_submitted"), "score": st.integers(1, 5)}),
    st.fixed_dictionaries({"event_type": st.just("nps_submitted"), "score": st.integers(0, 10)}),
    st.fixed_dictionaries({"event_type": st.just("nps_submitted"), "score": st.sampled_from([0, 10])}),
    st.fixed_dictionaries(
        {"event_type": st.just("success_contacted"), "playbook": st.sampled_from([None, "", "check_in", "training"])}
    ),
)
_DETAILS: dict[InputKind, st.SearchStrategy[dict[str, Any]]] = {
    "product": _PRODUCT,
    "billing": _BILLING,
    "support": _SUPPORT,
}
_TOPICS: list[InputKind] = ["product", "billing", "billing", "support"]
# Midnights, the microseconds beside them, and few enough moments that events share one.
_SECONDS = st.sampled_from([0.0, 0.000_001, 1_800.0, 1_830.0, 43_200.0, 84_600.0, 86_399.999_999])


@st.composite
def event_sets(draw: st.DrawFn, days_max: int = 9, events_max: int = 40) -> dict[InputKind, list[Event]]:
    """Events of all topics and types; ids are unique within a topic and repeat across topics.

    Days are few, so that things meet, but for a last event that may come much later: windows and horizons run out.
    """
    found: dict[InputKind, list[Event]] = {"product": [], "billing": [], "support": []}
    last_day = draw(st.sampled_from([days_max, days_max, days_max, 36]))
    size = draw(st.integers(1, events_max))
    places = draw(
        st.lists(
            st.tuples(
                st.sampled_from(_TOPICS),
                st.sampled_from(["acme", "acme", "bolt", "Ćwikła"]),
                st.integers(0, days_max),
                _SECONDS,
            ),
            min_size=size,
            max_size=size,
        )
    )
    for topic, account, day, second in places:
        when = START + timedelta(days=day, seconds=second)
        details = draw(_DETAILS[topic])
        found[topic].append(event(f"e{len(found[topic]):02}", account, when, **details))
    found["product"].append(event("last", "acme", at(last_day), "page_viewed"))
    return found
