"""A simulated B2B SaaS company whose true churn hazards are known."""

from c360_stream.simulation.company import SimulationSummary, simulate
from c360_stream.simulation.scenario import SCENARIOS, SimulationSpec
from c360_stream.simulation.sinks import EventSink, LogDirectorySink, account_of

__all__ = [
    "SCENARIOS",
    "EventSink",
    "LogDirectorySink",
    "SimulationSpec",
    "SimulationSummary",
    "account_of",
    "simulate",
]
