"""A simulated B2B SaaS company whose true churn hazards are known."""

from c360_stream.simulation.company import SimulationSummary, simulate
from c360_stream.simulation.live import Clock, EventPlace, LiveSink, live
from c360_stream.simulation.scenario import SCENARIOS, SimulationSpec
from c360_stream.simulation.sinks import EventSink, LogDirectorySink, account_of

__all__ = [
    "SCENARIOS",
    "Clock",
    "EventPlace",
    "EventSink",
    "LiveSink",
    "LogDirectorySink",
    "SimulationSpec",
    "SimulationSummary",
    "account_of",
    "live",
    "simulate",
]
