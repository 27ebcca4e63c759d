"""Settings: the environment (`C360_*`), then `c360.toml`, then defaults."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from c360_stream.contracts.kinds import InputKind
from c360_stream.errors import ConfigurationError
from c360_stream.features.definitions import FEATURES
from c360_stream.logs.lines import LogFormat, LogLevel
from c360_stream.models.names import ChampionName, ModelName, SchemeName, TreatedPolicy

CONFIG_FILE = "c360.toml"
MonthDay = Annotated[str, StringConstraints(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]

DEFAULT_CATEGORY_PREFIXES = {
    "board_": "kanban_boards",
    "gantt_": "gantt_charts",
    "timeline_": "timelines",
    "automation_": "automations",
    "form_": "forms",
    "dashboard_": "dashboards",
    "integration_": "integrations",
    "report_": "reports",
    "api_": "api_access",
    "invite_sent": "team_invites",
}


ENV_PREFIX = "C360_"
INTERNAL_VARIABLES = frozenset(
    {"C360_PEERS", "C360_PROCESS", "C360_ALIGNMENT_FILE", "C360_REQUIRE_KAFKA", "C360_REQUIRE_STACK", "C360_PARENT_FD"}
)
"""Set by this program for its own processes, and by its tests."""
_SECRET_BYTES_MAX = 65_536


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files: `C360_KAFKA_SASL_PASSWORD_FILE` names one."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of the file that the environment names for a secret, without the newlines at its end."""
        variable = f"{ENV_PREFIX}{field_name.upper()}"
        place = os.environ.get(f"{variable}_FILE", "")
        if field.annotation is not SecretStr or not place:
            return None, field_name, False
        if os.environ.get(variable):
            raise ConfigurationError(f"both {variable} and {variable}_FILE are set", "set one of them")
        return _read_secret(f"{variable}_FILE", Path(place)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The secrets that are in files."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in found.items() if value is not None}


def _read_secret(variable: str, path: Path) -> str:
    what, mend = f"{variable}: {path}", "mend the file or its permissions"
    try:
        with path.open("rb") as file:
            content = file.read(_SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{what}: {error.strerror}", mend) from None
    try:
        secret = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what} is not text in UTF-8", mend) from None
    if not secret or len(content) > _SECRET_BYTES_MAX:
        wrong = "is empty" if not secret else f"is larger than {_SECRET_BYTES_MAX} bytes"
        raise ConfigurationError(f"{what} {wrong}", mend)
    return secret


class Settings(BaseSettings):
    """Everything that can be set.

    Environment names are `C360_` and the field in capitals; for a secret, with `_FILE` behind it, that of a file.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        toml_file=CONFIG_FILE,
        extra="ignore",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
    )

    # Transports
    kafka_brokers: str = Field("", description="host:port,... of Kafka; empty: the log directory is used")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ssl_ca_location: str = Field("", description="file of the authorities that vouch for the brokers")
    kafka_ssl_certificate_location: str = Field("", description="file of this client's certificate, PEM")
    kafka_ssl_key_location: str = Field("", description="file of this client's private key, PEM")
    kafka_ssl_key_password: SecretStr = SecretStr("")
    log_dir: Path = Field(Path("c360-log"), description="log directory: one folder a topic")
    clickhouse_dsn: SecretStr = Field(
        SecretStr(""), description="clickhouse(s)://user:pw@host/c360 or chdb:///path/c360"
    )
    topic_prefix: str = Field("c360", pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    input_prefix: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9_-]{0,64}$",
        description="prefix of the input topics where another run writes those of topic_prefix; empty: topic_prefix",
    )

    # What `c360 setup` makes, and how long it is kept
    topic_partitions: int = Field(
        4, ge=-1, le=100_000, description="of each topic that setup makes; -1: the broker's default"
    )
    topic_replication: int = Field(
        -1, ge=-1, le=32_767, description="replicas of each partition that setup makes; -1: the broker's default"
    )
    input_retention_days: int = Field(
        400, ge=0, le=36_500, description="of the product and support topics that setup makes; 0: for ever"
    )
    billing_retention_days: int = Field(
        0, ge=0, le=36_500, description="of the billing topic that setup makes, where subscriptions start; 0: for ever"
    )
    dead_letter_retention_days: int = Field(
        30,
        ge=0,
        le=3_650,  # the table's rule adds them to a time that ends in 2106
        description="of refused input, topic and table; 0: for ever",
    )

    # Time
    allowed_lateness_seconds: int = Field(3600, ge=0, le=86_400 * 30)
    dedupe_hours: int = Field(24, ge=1, le=24 * 30)
    idle_seconds: float = Field(30.0, gt=0, description="a partition read to its end for this long stops holding")
    jump_days_max: int = Field(
        1, ge=1, description="an event this far ahead of its partition is refused if what follows contradicts it"
    )
    late_share_max: float = Field(0.2, ge=0, le=1, description="replay: a larger share of late events is refused")
    read_ahead_hours: int = Field(24, ge=1, description="a partition this far ahead of the rest pauses")

    # Shape
    shards: int = Field(16, ge=1, le=1024)
    batch_events: int = Field(65_536, ge=1, le=1_000_000)
    early_events_max: int = Field(
        20_000_000, ge=1, description="bound, over all shards of a process, on waiting events"
    )

    # Features
    core_actions: tuple[str, ...] = ("task_created", "task_completed", "comment_added", "file_uploaded")
    category_prefixes: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_CATEGORY_PREFIXES))

    # Learning and scores
    horizon_days: int = Field(60, ge=1, le=365)
    example_stride_days: int = Field(7, ge=1, le=60)
    warmup_outcomes: int = Field(400, ge=1, description="matured outcomes before the learnt model scores")
    warmup_churned: int = Field(40, ge=1, description="of which churned")
    prior_churn_rate: float = Field(0.08, gt=0, lt=1, description="prior rule: share churning within the horizon")
    learning_scheme: SchemeName = Field(
        "matured",
        description="how models learn whose entry in the catalogue is silent; drift shows best with matured",
    )
    treated_examples: TreatedPolicy = Field(
        "keep", description="what examples of accounts teach that were contacted within the horizon"
    )
    treated_weight: float = Field(
        0.5, ge=0, le=1, description="of treated_examples = weight: what such an example counts"
    )
    champion: ChampionName = Field("auto", description="which model scores; auto: the one that has proved best")
    challengers: tuple[ModelName, ...] = Field(
        ("online-logistic-fast", "online-logistic-hazard"), description="models that learn in shadow: c360 models"
    )
    retrain_days: int = Field(0, ge=0, description="begin a fresh challenger every so many days; 0: never")
    retrain_loss_share_max: float = Field(
        1.05, gt=0, description="begin one when the champion's log loss is more than this times the base rate's"
    )
    retrain_on_drift: bool = Field(True, description="begin one when other accounts leave than expected")
    replay_examples_max: int = Field(10_000, ge=1, le=1_000_000, description="outcomes that a fresh challenger learns")
    risk_curve_days: tuple[Annotated[int, Field(ge=1, le=365)], ...] = Field(
        (7, 30, 60, 90), description="horizons of the risk curve in each score; empty: no curve"
    )
    tier_medium: float = Field(0.10, gt=0, lt=1)
    tier_high: float = Field(0.25, gt=0, lt=1)
    tier_critical: float = Field(0.50, gt=0, lt=1)
    tier_hysteresis: float = Field(
        0.20, ge=0, lt=1, description="share of its threshold by which the risk has to be below it to leave a tier"
    )
    tier_min_days: int = Field(7, ge=0, le=28, description="days in a row that the risk has to be so low")
    event_score_change_min: float = Field(0.05, gt=0, lt=1, description="a risk change this large is material")
    event_score_interval_seconds: int = Field(60, ge=1, description="of event time, an account")

    # Value
    margin_share: float = Field(0.8, ge=0, le=1, description="of revenue that is margin")
    discount_rate: float = Field(0.1, ge=0, le=1, description="a year, of value to come")
    value_months_max: int = Field(60, ge=1, le=240, description="months ahead that lifetime value counts")
    contact_cost_cents: int = Field(2_500, ge=0, description="of reaching an account, for the profit of a campaign")
    offer_cost_cents: int = Field(10_000, ge=0, description="of the offer to one that takes it")

    # Drift
    psi_warning: float = Field(0.10, gt=0)
    psi_critical: float = Field(0.20, gt=0)
    psi_overrides: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="feature -> (warning, critical)"
    )
    auc_min: float = Field(0.78, gt=0.5, lt=1)
    volume_drop_max: float = Field(0.20, gt=0, lt=1)
    freshness_hours_max: float = Field(1.0, gt=0)
    null_share_change_max: float = Field(0.20, gt=0, lt=1)
    seasons: tuple[tuple[MonthDay, MonthDay], ...] = Field(
        (), description="first and last day, MM-DD, of times of other usage: no alarms of drift and volume"
    )

    # Process
    metrics_address: str = "127.0.0.1:8361"
    metrics_port_fixed: bool = Field(
        False, description="processes of a cluster, each with a host of its own, take the same port"
    )
    snapshot_seconds: int = Field(10, ge=1)
    outage_seconds_max: int = Field(
        900, ge=1, le=86_400, description="longest outage of Kafka or ClickHouse that is ridden out"
    )
    stall_seconds_max: int = Field(120, ge=5, description="a process of a cluster without progress for this long ends")
    log_format: LogFormat = Field(
        "text", description="of the log of run and heartbeat: a line, or a JSON object a line"
    )
    log_level: LogLevel = Field("info", description="the least that the log of run and heartbeat has")
    live: bool = Field(True, description="tail the input; false: replay to the end of it")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment (a secret may be in a file that it names), `c360.toml`."""
        return init_settings, env_settings, _SecretFiles(settings_cls), TomlConfigSettingsSource(settings_cls)

    @field_validator("metrics_address")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("must be host:port")
        return value

    @field_validator("topic_partitions", "topic_replication")
    @classmethod
    def _some_or_the_brokers(cls, value: int) -> int:
        if not value:
            raise ValueError("must be 1 or more, or -1 for the broker's default")
        return value

    @field_validator("psi_overrides")
    @classmethod
    def _features_exist(cls, value: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for name, (warning, critical) in value.items():
            if name not in FEATURES:
                close = difflib.get_close_matches(name, FEATURES, 1)
                raise ValueError(f"there is no feature {name}" + (f": did you mean {close[0]}?" if close else ""))
            if not 0 < warning <= critical:
                raise ValueError(f"of {name}: 0 < warning <= critical must hold")
        return value

    @model_validator(mode="after")
    def _tiers_ascend(self) -> Settings:
        if not self.tier_medium < self.tier_high < self.tier_critical:
            raise ValueError("tier_medium < tier_high < tier_critical must hold")
        if self.tier_min_days > max(self.horizon_days, 7):  # risks are stored for the horizon and a week
            raise ValueError(f"tier_min_days is {self.tier_min_days}, longer than horizon_days")
        return self

    @property
    def dsn(self) -> str:
        """The table store's DSN: as set, else chDB beside the log directory."""
        return self.clickhouse_dsn.get_secret_value() or f"chdb://{(self.log_dir / 'tables' / 'c360').resolve()}"

    @property
    def embedded_tables(self) -> bool:
        """Whether the tables are in chDB, which one process at a time may open."""
        return self.dsn.startswith("chdb:")

    @property
    def uses_kafka(self) -> bool:
        """Whether events travel through Kafka."""
        return bool(self.kafka_brokers)

    def input_topic(self, kind: InputKind) -> str:
        """Name of an input topic."""
        return f"{self.input_prefix or self.topic_prefix}.{kind}.events.v1"

    def retention_days(self, kind: InputKind) -> int:
        """How long an input topic that setup makes keeps its records; 0: for ever."""
        return self.billing_retention_days if kind == "billing" else self.input_retention_days

    @property
    def risk_topic(self) -> str:
        """Topic of risk scores."""
        return f"{self.topic_prefix}.risk.scores.v1"

    @property
    def alarm_topic(self) -> str:
        """Topic of drift alarms."""
        return f"{self.topic_prefix}.drift.alarms.v1"

    @property
    def dead_letter_topic(self) -> str:
        """Topic of refused input."""
        return f"{self.topic_prefix}.dead-letters.v1"

    @property
    def heartbeat_topic(self) -> str:
        """Topic of heartbeats that have passed through."""
        return f"{self.topic_prefix}.heartbeats.v1"

    @property
    def output_topics(self) -> tuple[str, ...]:
        """Topics that the flow writes to for others to read."""
        return (self.risk_topic, self.alarm_topic, self.heartbeat_topic, self.dead_letter_topic)

    @property
    def outbox_topic(self) -> str:
        """Topic of what each outbox published last."""
        return f"{self.topic_prefix}.outbox.v1"

    def masked(self) -> dict[str, Any]:
        """Every setting for showing to a person, secrets masked."""
        shown = self.model_dump(mode="json")
        for name in secret_fields():
            shown[name] = "***" if getattr(self, name).get_secret_value() else ""
        shown["clickhouse_dsn"] = mask_dsn(self.dsn)
        return shown


def secret_fields() -> list[str]:
    """Names of the settings that are secrets."""
    return [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]


def unknown_settings() -> list[str]:
    """What is set in the environment or in `c360.toml` and means nothing, with the name that may have been meant.

    Raises
    ------
    ConfigurationError
        If `c360.toml` cannot be read.
    """
    fields = list(Settings.model_fields)
    variables = [f"{ENV_PREFIX}{name.upper()}" for name in fields]
    variables += [f"{ENV_PREFIX}{name.upper()}_FILE" for name in secret_fields()]
    strange = [name for name in sorted(os.environ) if name.upper().startswith(ENV_PREFIX)]
    found = [_guess(name, variables) for name in strange if name.upper() not in {*variables, *INTERNAL_VARIABLES}]
    try:
        content = tomllib.loads(Path(CONFIG_FILE).read_text()) if Path(CONFIG_FILE).is_file() else {}
    except (OSError, ValueError) as error:
        raise _broken_file(error) from None
    return found + [f"{_guess(name, fields)} in {CONFIG_FILE}" for name in content if name not in fields]


def _guess(name: str, known: list[str]) -> str:
    likely = difflib.get_close_matches(name, known, 1)
    return f"{name} ({likely[0]} is meant?)" if likely else name


def security_warnings(settings: Settings) -> list[str]:
    """What makes secrets readable on the network, or credentials ignored: a line each."""
    protocol = settings.kafka_security_protocol
    credentials = ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
    certificates = ("ca_location", "certificate_location", "key_location", "key_password")
    unused = [] if protocol.startswith("SASL") else [name for name in credentials if _is_set(settings, name)]
    if not protocol.endswith("SSL"):
        unused += [f"kafka_ssl_{name}" for name in certificates if _is_set(settings, f"kafka_ssl_{name}")]
    found = []
    if settings.uses_kafka and unused:
        found.append(
            f"kafka_security_protocol is {protocol}: {', '.join(unused)} {'is' if len(unused) == 1 else 'are'} ignored"
        )
    far = [broker for broker in settings.kafka_brokers.split(",") if broker and not _is_loopback(broker)]
    if protocol == "SASL_PLAINTEXT" and far:
        found.append(f"kafka_security_protocol is {protocol}: the password goes to {far[0]} unencrypted; use SASL_SSL")
    scheme, _, rest = settings.dsn.partition("://")
    login, _, place = rest.rpartition("@")
    if scheme == "clickhouse" and ":" in login and not _is_loopback(place):
        found.append(f"{mask_dsn(settings.dsn)}: the password goes there unencrypted; use clickhouses://")
    return found


def _is_set(settings: Settings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _is_loopback(place: str) -> bool:
    try:
        host = urlsplit(f"//{place.rpartition('://')[2].strip()}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or nothing that can be understood
        return False


def mask_dsn(dsn: str) -> str:
    """Show a DSN without its password or query, even one whose password is not escaped.

    >>> mask_dsn("clickhouse://bob:hunter2@db:8123/c360?token=x")
    'clickhouse://bob:***@db:8123/c360'
    >>> mask_dsn("clickhouse://bob:hun/t@er?2@db/c360")
    'clickhouse://bob:***@db/c360'
    """
    scheme, _, rest = dsn.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{f'{user}:***@' if at else ''}{re.split('[?#]', place)[0]}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (from the command line) win.

    Raises
    ------
    ConfigurationError
        If a value is malformed; the message names the setting and never repeats a secret's value.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        if not name:  # several settings do not go together
            raise ConfigurationError(f"settings: {first['msg']}", f"mend C360_* or {CONFIG_FILE}") from None
        raise ConfigurationError(
            f"setting {name}: {first['msg']}", f"set C360_{str(first['loc'][0]).upper()} or mend {CONFIG_FILE}"
        ) from None
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        setting = f"setting {named[1]}: {ENV_PREFIX}{named[1].upper()} is no JSON" if named else str(error)
        raise ConfigurationError(setting, "write lists and tables as JSON in the environment") from None
    except (OSError, ValueError) as error:
        raise _broken_file(error) from None


def _broken_file(error: Exception) -> ConfigurationError:
    return ConfigurationError(f"{CONFIG_FILE} in {os.getcwd()}: {error}", "mend or remove the file")
