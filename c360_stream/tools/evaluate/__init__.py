"""`c360 evaluate`: how good the scores of a log were, beside a batch model, the truth and other settings."""

from c360_stream.tools.evaluate.command import evaluate

__all__ = ["evaluate"]
