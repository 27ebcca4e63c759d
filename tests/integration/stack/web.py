"""The HTTP interfaces of Prometheus, Alertmanager and ClickHouse, as far as the tests ask."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ANSWER_SECONDS_MAX = 30.0


class QueryError(Exception):
    """A server refused a query; the message is what it said."""


@dataclass(frozen=True)
class Series:
    """A time series: its labels, and values without those that are not numbers."""

    labels: dict[str, str]
    values: list[float]


class Prometheus:
    """A Prometheus server.

    Parameters
    ----------
    address
        Host and port.
    """

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"

    def is_ready(self) -> bool:
        """Whether it serves."""
        return _answers(f"{self.url}/-/ready")

    def instant(self, query: str, at: float | None = None) -> list[Series]:
        """Values of a query at a time, in Unix seconds; now without one.

        Raises
        ------
        QueryError
            If it is refused.
        """
        form = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        found = self._get("query", form)
        if found["resultType"] == "scalar":
            return [_series({}, [found["result"]])]
        return [_series(one["metric"], [one["value"]]) for one in found["result"]]

    def over(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """Values of a query from a time to a time, in Unix seconds, `step` seconds apart.

        Raises
        ------
        QueryError
            If it is refused.
        """
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return [_series(one["metric"], one["values"]) for one in self._get("query_range", form)["result"]]

    def value(self, query: str) -> float | None:
        """The value of a query now; None if it has none."""
        found = [series.values[0] for series in self.instant(query) if series.values]
        return found[0] if found else None

    def label_values(self, label: str, match: str) -> list[str]:
        """Values of a label of the series that a selector matches."""
        found: list[str] = self._get(f"label/{label}/values", {"match[]": match})
        return found

    def targets(self) -> list[dict[str, Any]]:
        """What it scrapes, with its health and last error."""
        found: list[dict[str, Any]] = self._get("targets", {"state": "active"})["activeTargets"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Its rules, with their health, last error and, of alerts, state."""
        groups = self._get("rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self) -> list[dict[str, Any]]:
        """What is pending or firing."""
        found: list[dict[str, Any]] = self._get("alerts", {})["alerts"]
        return found

    def _get(self, what: str, form: dict[str, str]) -> Any:
        # Long queries fit a POST only; where there is none, a GET has nothing to say but its address.
        body = urlencode(form).encode() if what.startswith("query") else None
        url = f"{self.url}/api/v1/{what}" + ("" if body else f"?{urlencode(form)}")
        return json.loads(_ask(Request(url, body)))["data"]


class Alertmanager:
    """An Alertmanager.

    Parameters
    ----------
    address
        Host and port.
    """

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}"

    def is_ready(self) -> bool:
        """Whether it serves."""
        return _answers(f"{self.url}/-/ready")

    def alerts(self) -> list[dict[str, Any]]:
        """What it has been told, with labels, annotations and receivers."""
        found: list[dict[str, Any]] = json.loads(_ask(Request(f"{self.url}/api/v2/alerts")))
        return found


class ClickHouse:
    """A ClickHouse server over HTTP, as Grafana's user sees it.

    Parameters
    ----------
    address
        Host and port.
    user, password
        Who asks.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self._url = f"http://{address}/?database=c360"
        self._credentials = b64encode(f"{user}:{password}".encode()).decode()

    def rows(self, sql: str) -> tuple[list[str], list[list[Any]]]:
        """Names of the columns of a statement's result, and its rows.

        Raises
        ------
        QueryError
            If it is refused.
        """
        statement = f"{sql.rstrip().rstrip(';')}\nFORMAT JSONCompact"
        headers = {"Authorization": f"Basic {self._credentials}"}
        found = json.loads(_ask(Request(self._url, statement.encode(), headers)))
        return [column["name"] for column in found["meta"]], found["data"]

    def execute(self, statement: str) -> None:
        """Execute a statement without a result.

        Raises
        ------
        QueryError
            If it is refused.
        """
        _ask(Request(self._url, statement.encode(), {"Authorization": f"Basic {self._credentials}"}))


def read_page(url: str) -> str:
    """A page, such as `/metrics`.

    Raises
    ------
    QueryError
        If it is refused, or nobody serves it.
    """
    return _ask(Request(url)).decode()


def _series(labels: dict[str, str], points: list[list[Any]]) -> Series:
    values = (float(value) for _, value in points)
    return Series(labels, [value for value in values if math.isfinite(value)])


def _ask(request: Request) -> bytes:
    try:
        with urlopen(request, timeout=ANSWER_SECONDS_MAX) as response:
            body: bytes = response.read()
    except HTTPError as error:
        raise QueryError(error.read().decode(errors="replace")[:2000] or str(error)) from None
    except (URLError, OSError) as error:
        raise QueryError(f"{request.full_url}: {error}") from None
    return body


def _answers(url: str) -> bool:
    try:
        _ask(Request(url))
    except QueryError:
        return False
    return True
