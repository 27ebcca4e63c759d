"""Input events: the contract (`contract`), its reference reading (`reference`) and the fast decoder (`decoding`)."""

from c360_stream.events.contract import EVENT_BYTES_MAX, INPUT_KINDS, InputKind
from c360_stream.events.decoding import (
    CsatSubmitted,
    Decoded,
    Decoder,
    Event,
    InvoicePaid,
    InvoicePaymentFailed,
    NpsSubmitted,
    ProductEvent,
    Refused,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionStarted,
    SuccessContacted,
    TicketOpened,
    TicketSolved,
)
from c360_stream.events.times import EPOCH, US_PER_DAY, US_PER_HOUR, US_PER_SECOND, time_us, times_us

__all__ = [
    "EPOCH",
    "EVENT_BYTES_MAX",
    "INPUT_KINDS",
    "US_PER_DAY",
    "US_PER_HOUR",
    "US_PER_SECOND",
    "CsatSubmitted",
    "Decoded",
    "Decoder",
    "Event",
    "InputKind",
    "InvoicePaid",
    "InvoicePaymentFailed",
    "NpsSubmitted",
    "ProductEvent",
    "Refused",
    "SubscriptionCancelled",
    "SubscriptionChanged",
    "SubscriptionStarted",
    "SuccessContacted",
    "TicketOpened",
    "TicketSolved",
    "time_us",
    "times_us",
]
