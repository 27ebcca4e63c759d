"""For tests of your own: what a model that you declare has to hold."""

from c360_stream.testing.model_checks import check_model

__all__ = ["check_model"]
