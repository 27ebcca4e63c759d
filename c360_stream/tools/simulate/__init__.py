"""A simulated B2B SaaS company whose true churn hazards are known."""

from c360_stream.tools.simulate.company import SimulationSummary, simulate
from c360_stream.tools.simulate.live import Clock, EventPlace, LiveSink, live
from c360_stream.tools.simulate.scenario import SCENARIOS, SimulationSpec
from c360_stream.tools.simulate.sinks import EventSink, LogDirectorySink, account_of

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
