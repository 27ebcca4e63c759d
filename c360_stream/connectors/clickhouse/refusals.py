"""Refusals of a ClickHouse server: the reason, whether it passes, and a hint."""

from __future__ import annotations

import re
import ssl

from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import OperationalError, ProgrammingError

from c360_stream.errors import TransportError

ABSENT_CODES = {60, 81}  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_FULL_CODES = {75, 243}  # CANNOT_WRITE_TO_FILE_DESCRIPTOR, NOT_ENOUGH_SPACE
_READ_ONLY_CODE = 164
# Errors that pass or that an operator fixes: timeouts, quotas, too many queries or connections, network trouble
# and names that do not resolve, a server that shuts down, tables read-only until Keeper is back, too many parts, no
# memory, replicas away, an insert whose fate is unknown, no disk space.
_TRANSIENT_CODES = {
    *(159, 173, 198, 201, 202, 203, 209, 210, 225, 236, 241, 242, 244, 252, 254, 279, 285, 286, 319, 394, 999),
    *_FULL_CODES,
}
_HINTS = {
    192: "check the user in C360_CLICKHOUSE_DSN",
    193: "check the password in C360_CLICKHOUSE_DSN",
    194: "put the password into C360_CLICKHOUSE_DSN",
    497: "grant the user of C360_CLICKHOUSE_DSN its database",
    516: "check user and password in C360_CLICKHOUSE_DSN",
    _READ_ONLY_CODE: "give the user of C360_CLICKHOUSE_DSN a profile that may write: readonly = 0",
    **dict.fromkeys(ABSENT_CODES, "run `c360 setup`, which makes the tables"),
    **dict.fromkeys(_TRANSIENT_CODES, "the server is overloaded or recovering: see its log"),
    201: "raise the quota of the user of C360_CLICKHOUSE_DSN",
    **dict.fromkeys(_FULL_CODES, "free space on the disk of the database"),
}
_AWAY_HINT = "check that the server runs and that C360_CLICKHOUSE_DSN has its address"
_CERTIFICATE_HINTS = {  # by OpenSSL's verification result
    10: "renew it at the server",
    62: "write the host into C360_CLICKHOUSE_DSN as the certificate has it",
    64: "write the host into C360_CLICKHOUSE_DSN as the certificate has it",
}


def is_transient(error: DriverError) -> bool:
    """Whether it passes, so that trying again helps."""
    if error.code is not None:
        return error.code in _TRANSIENT_CODES
    # Without a code the answer came from the network or a proxy, not from ClickHouse.
    return isinstance(error, OperationalError) or "HTTP status 50" in str(error)


def refusal(where: str, error: DriverError) -> TransportError:
    """The driver's error of many lines as an error of one."""
    reason, hint = explained(error)
    return TransportError(f"{where}: {reason}", hint)


def explained(error: DriverError) -> tuple[str, str]:
    """The reason, and how to fix it."""
    if error.code is None and isinstance(error, OperationalError):
        root: BaseException = error
        while root.__cause__ or root.__context__:
            root = root.__cause__ or root.__context__ or root
        if isinstance(root, ssl.SSLCertVerificationError):
            authority = "name the file of its authority in C360_CLICKHOUSE_DSN: ?ca_cert=/path/ca.pem"
            hint = _CERTIFICATE_HINTS.get(root.verify_code, authority)
            return f"the server's certificate is refused: {root.verify_message.rstrip('.')}", hint
        reason, hint = str(root), _AWAY_HINT
        if isinstance(root, ssl.SSLError):
            of_files = "check the files of certificates and keys in C360_CLICKHOUSE_DSN"
            hint = "check that the server speaks TLS at this port" if root.library == "SSL" else of_files
    else:
        reason = str(error).rpartition("DB::Exception: ")[2]
        # The driver itself refuses to send a setting that the user's profile has made read-only.
        refused_here = isinstance(error, ProgrammingError) and "readonly" in reason
        hint = _HINTS.get(_READ_ONLY_CODE if refused_here else error.code or 0, "")
    return re.split(r"\n| \(for url | \(version |, Stack trace", reason)[0].strip()[:300], hint
