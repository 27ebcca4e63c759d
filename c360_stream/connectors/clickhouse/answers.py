"""Distinguishes answers of a ClickHouse server from those of a proxy on the way."""

from __future__ import annotations

from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager
from urllib3.exceptions import ProtocolError

SUMMARY = "X-ClickHouse-Summary"
"""A server sends it with whatever it executes."""
_SUCCESSES = range(200, 300)


class ForeignAnswerError(ProtocolError):
    """The answer is of something else: a proxy's page, a load balancer's greeting, another service at the address."""


class AnswersOfClickHouse:
    """urllib3's manager of connections, which lets no success pass that is not the server's own.

    An insert that a captive portal answers with its page would else count as stored.
    """

    def __init__(self, manager: PoolManager) -> None:
        self._manager = manager

    def request(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:
        """As the manager's.

        Raises
        ------
        ForeignAnswerError
            If the answer is a success without a summary.
        """
        response = self._manager.request(method, url, **options)
        if response.status in _SUCCESSES and SUMMARY not in response.headers:
            response.close()
            raise ForeignAnswerError(f"it was no ClickHouse server that answered: {SUMMARY} is missing")
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)
