"""ClickHouse's HTTP interface on the real engine, chDB, in a process of its own; it can be told to fail.

`python -m tests.contracts.clickhouse_front --dir DIR` serves the database kept in DIR until it is ended, and prints a
line of JSON with its address and that of its control port, which takes JSON too:

    curl -d '{"do": "fault", "kind": "drop-after", "times": 3}' http://CONTROL    # see `Fault`
    curl -d '{"do": "profile", "settings": {"readonly": "2"}}' http://CONTROL     # for every request from now on
    curl -d '{"do": "down"}' http://CONTROL                                       # and up, state

It understands what clickhouse-connect sends: settings, bound parameters and the database in the query string or a form,
statements there or in the body, data behind `INSERT ... FORMAT`, compressed bodies and answers, a user's password, TLS.
Not there: sessions, roles, progress headers, answers in parts (an answer is complete before it is sent).
"""

from tests.contracts.clickhouse_front.process import ClickHouseFront as ClickHouseFront
