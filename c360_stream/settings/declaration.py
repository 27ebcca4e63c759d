"""Every setting: its name, its bounds, its default, and what follows from several."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from c360_stream.contracts.kinds import InputKind
from c360_stream.features.definitions import FEATURES, SPECS
from c360_stream.logs.lines import LogFormat, LogLevel
from c360_stream.models.names import (
    AUTO,
    LIGHTGBM,
    MODELS,
    ModelDeclaration,
    SchemeName,
    TreatedPolicy,
    default_challengers,
    trees_installed,
)
from c360_stream.settings.config_file import ConfigFile
from c360_stream.settings.masking import mask_dsn
from c360_stream.settings.sources import ENV_PREFIX, SecretFiles

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


class Settings(BaseSettings):
    """Everything that can be set.

    Environment names are `C360_` and the field in capitals; for a secret, with `_FILE` behind it, that of a file.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
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
    log_dir: Path = Field(Path("c360-log"), description="log directory: one folder per topic")
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
    declared_models: tuple[ModelDeclaration, ...] = Field((), description="[[model]] of the configuration file")
    champion: str = Field("auto", description="which model scores; auto: the one that has proved best")
    challengers: tuple[str, ...] = Field(
        default_factory=default_challengers,
        description="models that learn in shadow: c360 models; lightgbm is one of them where it is installed",
    )
    monotone_features: tuple[str, ...] = Field(
        (), description="features whose curve may only rise towards the values that are declared bad"
    )
    retrain_days: int = Field(0, ge=0, description="days after which a fresh challenger is begun; 0: never")
    retrain_loss_share_max: float = Field(
        1.05, gt=0, description="begin one when the champion's log loss is more than this times the base rate's"
    )
    retrain_on_drift: bool = Field(True, description="begin one when other accounts leave than expected")
    replay_examples_max: int = Field(
        20_000, ge=1, le=1_000_000, description="outcomes that a fresh challenger, or a new generation, learns"
    )
    trees_examples_max: int = Field(30_000, ge=1, le=1_000_000, description="outcomes that lightgbm is fitted to")
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
    event_score_interval_seconds: int = Field(60, ge=1, description="of event time, per account")

    # Value
    margin_share: float = Field(0.8, ge=0, le=1, description="of revenue that is margin")
    discount_rate: float = Field(0.1, ge=0, le=1, description="per year, of value to come")
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
        """Order of precedence: arguments, environment (a secret may be in a file that it names), configuration file."""
        return init_settings, env_settings, SecretFiles(settings_cls), ConfigFile(settings_cls)

    @field_validator("metrics_address")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("must be host:port")
        return value

    @field_validator("champion", "challengers")
    @classmethod
    def _models_exist(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        names = [AUTO] if isinstance(value, str) else []
        names += [*MODELS, *(each.name for each in info.data.get("declared_models", ()))]
        for name in [value] if isinstance(value, str) else value:
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                raise ValueError(
                    f"there is no model {name}: " + (f"did you mean {close[0]}?" if close else "see c360 models")
                )
        if value == LIGHTGBM and not trees_installed():
            raise ValueError("lightgbm is not installed: pip install lightgbm")
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

    @field_validator("monotone_features")
    @classmethod
    def _directions_are_declared(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        directed = [spec.name for spec in SPECS if spec.bad]
        for name in value:
            if name not in directed:
                close = difflib.get_close_matches(name, directed, 1)
                raise ValueError(
                    f"no direction is declared of {name}" + (f": did you mean {close[0]}?" if close else "")
                )
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

    def masked(self) -> dict[str, object]:
        """Every setting for showing to a person, secrets masked."""
        shown = self.model_dump(mode="json")
        for name in secret_fields():
            shown[name] = "***" if getattr(self, name).get_secret_value() else ""
        shown["clickhouse_dsn"] = mask_dsn(self.dsn)
        return shown


def secret_fields() -> list[str]:
    """Names of the settings that are secrets."""
    return [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
