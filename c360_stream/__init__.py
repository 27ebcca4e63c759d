"""Event-streaming churn detection for account-based businesses."""

__version__ = "0.1.0"
