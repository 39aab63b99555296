"""Frozen settings, read from the options of a command and the AMDW_ environment variables. Importing this does nothing.

An option wins over its variable, a variable over the default. A variable that is set to nothing counts as not set.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from amondawa.errors import ConfigError

PREFIX = "AMDW_"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one gateway; every one is an option of `bin/serve` or an AMDW_ environment variable."""

    # where
    store: str = "sqlite"
    data: str = "./data"
    bind: str = "127.0.0.1"
    http_port: int = 5000
    kairosdb_port: int = 8080
    opentsdb_port: int = 4242
    kairosdb_telnet_port: int = 4243
    region: str = "us-west-2"
    table_space: str = "amdw"
    dynamodb_endpoint: str = ""
    gateway_id: str = ""
    """name of this gateway's journal shard on DynamoDB; '' = the host's name"""
    mt_readers: int = 16
    mt_writers: int = 8
    """requests to DynamoDB in flight"""
    default_domain: str = "default"

    # shape of the store
    store_column_height_s: int = 86_400
    """row width"""
    store_history_s: int = 0
    """0 = keep for ever"""
    store_history_blocks: int = 0
    """blocks over the history; 0 = blocks of 30 days"""
    retention: str = ""
    """`GLOB=SECONDS`, separated by commas: metrics whose points are kept for less than the history; the first that matches"""
    rollup: str = ""
    """`GLOB=AGE:INTERVAL` or `GLOB=AGE:INTERVAL:drop-raw`, separated by commas: whose old blocks are rolled up, by what"""
    tp_write_datapoints: int = 0
    tp_read_datapoints: int = 0
    tp_write_index_key: int = 0
    tp_read_index_key: int = 0
    """units a second that tables of DynamoDB are given; 0 = on demand"""
    tp_warm_write_datapoints: int = 0
    tp_warm_read_datapoints: int = 0
    tp_warm_write_index_key: int = 0
    tp_warm_read_index_key: int = 0
    """units a second that the tables of a new block stand at once; 0 = what every new table does"""
    tp_warm_by: str = "parameter"
    """parameter: DynamoDB's WarmThroughput; switch: made provisioned, then switched to what tp_ says"""
    mx_create_next_min: int = 60
    mx_create_next_pct: float = 10.0
    """the next block is made this many minutes, and this share of a block, ahead of its time (the earlier of both)"""
    mx_turndown_min: int = 60
    mx_turndown_pct: float = 10.0
    """a block is turned down this many minutes, and this share of its length, after its end (the later of both)"""

    # writes
    body_limit_bytes: int = 64 * 1024 * 1024
    line_limit_bytes: int = 1024 * 1024
    commit_wait_ms: int = 20
    """how long small writes wait for others to share their journal entry, on a store that bills each entry"""
    write_delay_ms: int = 2
    """how long a telnet line may wait for others to share its journal entry"""
    head_limit_bytes: int = 96 * 1024 * 1024
    """memory for points not yet in chunks; a flush starts at half of it, writers are refused at all of it"""
    flush_age_s: int = 3_600
    text_limit_bytes: int = 256 * 1024

    # while DynamoDB is away
    ack: str = "spooled"
    """spooled: writes are acknowledged from the spool on this machine's disk while the store is away; stored: refused then"""
    spool_limit: int = 4 * 1024 * 1024 * 1024
    """bytes that the spool may occupy"""
    spool_drain: int = 2 * 1024 * 1024
    """bytes of the spool that are stored in a second once DynamoDB is back"""
    spool_after_s: float = 2.0
    """how long a write is tried, and how long nothing must have been answered, before DynamoDB counts as away"""
    spool_head_bytes: int = 512 * 1024 * 1024
    """memory for points not yet in chunks while there are any in the spool"""

    # reads
    cache_datapoints_bytes: int = 96 * 1024 * 1024
    cache_datapoints_rows: int = 1_000_000
    cache_query_index_key: int = 100_000
    """metrics in blocks whose index is kept in memory for queries"""
    cache_write_index_key: int = 64_000_000
    """index entries kept in memory, so that they are not written twice"""
    query_points: int = 50_000_000
    query_series: int = 2_000_000
    query_seconds: float = 120.0
    query_threads: int = 4

    # OpenTSDB's own switches, off as in the original
    opentsdb_allow_delete: bool = False
    opentsdb_cors_domains: str = ""
    opentsdb_histograms: str = ""
    opentsdb_max_tags: int = 8
    opentsdb_rollups: str = ""
    """intervals of the rollups that are taken, such as 1m,1h; empty = none"""

    # telnet connections
    telnet_idle_s: int = 300
    telnet_connections: int = 10_000

    # who may come in
    allow_anonymous: str = ""
    """`DOMAIN:rw`: clients without a key may use this domain (`*`: any); needed to listen beyond this machine"""
    tls_cert: str = ""
    """PEM file of the certificate, with those of its issuers; every port then speaks TLS only"""
    tls_key: str = ""
    """PEM file of the certificate's key, without a password"""

    # the process
    log: str = "auto"
    """json, console, or auto: console when stderr is a terminal"""
    http_idle_s: int = 300
    """a kept HTTP connection without a request is closed after this"""
    stop_s: float = 9.0
    """longest time from SIGTERM to the end of the process"""


_SHORT_VARIABLES = {
    "http_port": "AMDW_HTTP",
    "kairosdb_port": "AMDW_KAIROSDB",
    "opentsdb_port": "AMDW_OPENTSDB",
    "kairosdb_telnet_port": "AMDW_KAIROSDB_TELNET",
}
"""Fields whose variable is not simply AMDW_ and the field in capitals."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "store": ("sqlite", "dynamodb", "memory"),
    "log": ("auto", "json", "console"),
    "ack": ("spooled", "stored"),
    "tp_warm_by": ("parameter", "switch"),
}
STORE_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "dynamodb": {"store_column_height_s": 28_800, "flush_age_s": 43_200},
}
"""Defaults of a store that differ from those of the fields; the arithmetic is in docs/cost.md."""
_MIB = 1024 * 1024
_PORT = (0, 65_535)
RANGES: Mapping[str, tuple[float, float]] = {
    "http_port": _PORT,
    "kairosdb_port": _PORT,
    "opentsdb_port": _PORT,
    "kairosdb_telnet_port": _PORT,
    "mt_readers": (1, 1_024),
    "mt_writers": (1, 1_024),
    "store_column_height_s": (60, 2_073_600),  # offsets in a row are signed 32-bit milliseconds
    "store_history_s": (0, 2**40),
    "store_history_blocks": (0, 10_000),
    "tp_write_datapoints": (0, 10_000_000),
    "tp_read_datapoints": (0, 10_000_000),
    "tp_write_index_key": (0, 10_000_000),
    "tp_read_index_key": (0, 10_000_000),
    "tp_warm_write_datapoints": (0, 10_000_000),
    "tp_warm_read_datapoints": (0, 10_000_000),
    "tp_warm_write_index_key": (0, 10_000_000),
    "tp_warm_read_index_key": (0, 10_000_000),
    "mx_create_next_min": (0, 525_600),
    "mx_create_next_pct": (0.0, 100.0),
    "mx_turndown_min": (0, 525_600),
    "mx_turndown_pct": (0.0, 1_000.0),
    "body_limit_bytes": (1_024, 4_096 * _MIB),
    "line_limit_bytes": (1_024, 1_024 * _MIB),
    "write_delay_ms": (0, 10_000),
    "commit_wait_ms": (0, 1_000),
    "head_limit_bytes": (_MIB, 2**50),
    "flush_age_s": (1, 86_400 * 365),
    "spool_limit": (_MIB, 2**50),
    "spool_drain": (1_024, 2**40),
    "spool_after_s": (0.1, 3_600.0),
    "spool_head_bytes": (_MIB, 2**50),
    "text_limit_bytes": (1, 256 * 1024),  # a text must fit an item of the store
    "cache_datapoints_bytes": (0, 2**50),
    "cache_datapoints_rows": (0, 2**40),
    "cache_query_index_key": (1, 2**40),
    "cache_write_index_key": (1, 2**40),
    "query_points": (1, 2**60),
    "query_series": (1, 2**60),
    "query_seconds": (0.001, 86_400.0),
    "query_threads": (1, 1_024),
    "opentsdb_max_tags": (1, 1_000),
    "telnet_idle_s": (1, 86_400 * 365),
    "telnet_connections": (1, 1_000_000),
    "http_idle_s": (1, 86_400 * 365),
    "stop_s": (1.0, 600.0),
}
"""Inclusive limits of every number."""

SECRET_VARIABLES = frozenset({"AMDW_MASTER_KEY"})
"""Variables that are read where they are needed, so that no list of settings can show them."""
CLIENT_VARIABLES = frozenset({"AMDW_URL", "AMDW_DOMAIN", "AMDW_KEY", "AMDW_SECRET"})
"""Variables of the commands that ask a gateway."""

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return _SHORT_VARIABLES.get(name, PREFIX + name.upper())


def read_settings(
    options: Mapping[str, object], environment: Mapping[str, str], stored: Mapping[str, object] | None = None
) -> Settings:
    """Make settings from options (by field name; None = not given), environment variables and stored values.

    Args:
        options: values of the command line, by field name.
        environment: all environment variables.
        stored: values of the stored configuration, by field name, checked already (see `store.configuration`).

    Raises:
        ConfigError: a value is of the wrong kind or out of its range; the text names the option or variable.
    """
    values: dict[str, object] = dict(stored or {})
    for field in fields(Settings):
        given = options.get(field.name)
        text = environment.get(variable_of(field.name), "")
        if given is not None:
            values[field.name] = _checked(field.name, _option_of(field.name), given, type(field.default))
        elif text:
            values[field.name] = _checked(field.name, variable_of(field.name), text, type(field.default))
    for name, value in STORE_DEFAULTS.get(str(values.get("store")), {}).items():
        values.setdefault(name, value)
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was brought to its field's type
    return _with_anonymous_domain(settings, "default_domain" in values)


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the AMDW_ variables that no setting reads, each with the nearest name that one does ('' = none near)."""
    known = [variable_of(field.name) for field in fields(Settings)]
    read = {*known, *SECRET_VARIABLES, *CLIENT_VARIABLES}
    strangers = [name for name in environment if name.startswith(PREFIX) and name not in read]
    return {name: next(iter(difflib.get_close_matches(name, known, 1)), "") for name in sorted(strangers)}


def _option_of(name: str) -> str:
    """Return the command's option of a field."""
    return "--" + name.removesuffix("_port").replace("_", "-")


def _checked(name: str, source: str, value: object, kind: type) -> object:
    """Bring a value to its field's type and check its range."""
    out = _convert(source, value, kind)
    if name in CHOICES and out not in CHOICES[name]:
        raise ConfigError(f"{source} must be one of {', '.join(CHOICES[name])}, not {value!r}")
    if name in RANGES and isinstance(out, int | float):
        low, high = RANGES[name]
        if not low <= out <= high:
            raise ConfigError(f"{source} must be from {low} to {high}, not {value}")
    if name in _CHECKS:
        _CHECKS[name](source, str(out))
    return out


def _convert(source: str, value: object, kind: type) -> object:
    """Bring an option's or variable's value to a type; text is parsed."""
    if kind is bool:
        return _boolean(source, value)
    text = str(value).strip()
    try:
        if kind is int:
            return int(text)
        if kind is float and math.isfinite(float(text)):
            return float(text)
    except ValueError:
        pass  # worded below, as for a number that is not finite
    if kind is str:
        return text
    raise ConfigError(f"{source} must be {'a whole number' if kind is int else 'a number'}, not {value!r}")


def _boolean(source: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _YES | _NO:
        raise ConfigError(f"{source} must be true or false, not {value!r}")
    return text in _YES


def _check_retention(source: str, value: str) -> None:
    for entry in filter(None, value.split(",")):
        pattern, equals, seconds = entry.strip().rpartition("=")
        if not (pattern and equals and seconds.isascii() and seconds.isdigit() and 0 < int(seconds) < 2**40):
            raise ConfigError(f"{source} must list PATTERN=SECONDS pairs, not {entry.strip()!r}")


def _check_given(source: str, value: str) -> None:
    if not value:
        raise ConfigError(f"{source} must not be empty")


def _check_anonymous(source: str, value: str) -> None:
    domain, _, rights = value.rpartition(":")
    if value and (not domain or rights != "rw"):
        raise ConfigError(f"{source} must be DOMAIN:rw (or *:rw), not {value!r}")


def _check_table_space(source: str, value: str) -> None:
    if not 1 <= len(value) <= 64 or not all(c.isascii() and (c.isalnum() or c in "_-.") for c in value):
        raise ConfigError(f"{source} must be 1 to 64 letters, digits, '_', '-' or '.', not {value!r}")


def _check_gateway_id(source: str, value: str) -> None:
    if value and (len(value) > 128 or not all(c.isascii() and (c.isalnum() or c in "_-.") for c in value)):
        raise ConfigError(f"{source} must be at most 128 letters, digits, '_', '-' or '.', not {value!r}")


def _check_endpoint(source: str, value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ConfigError(f"{source} must be a URL that begins with http:// or https://, not {value!r}")


def _check_histograms(source: str, value: str) -> None:
    for entry in filter(None, value.split(",")):
        number, _, decoder = entry.strip().partition(":")
        if not (number.isascii() and number.isdigit() and int(number) <= 255 and decoder):
            raise ConfigError(f"{source} must list ID:DECODER pairs, ID from 0 to 255, not {entry.strip()!r}")


def _check_rollups(source: str, value: str) -> None:
    for entry in filter(None, value.split(",")):
        number, unit = entry.strip()[:-1], entry.strip()[-1:]
        if not (number.isascii() and number.isdigit() and int(number) > 0 and unit in ("s", "m", "h", "d")):
            raise ConfigError(f"{source} must list intervals such as 1m,1h (s, m, h or d), not {entry.strip()!r}")


_ROLLUP_RULE = re.compile(r".+=\d{1,10}[smhdw]?:\d{1,10}[smhdw]?(:drop-raw)?", re.ASCII | re.DOTALL)


def _check_rollup(source: str, value: str) -> None:
    for entry in filter(None, map(str.strip, value.split(","))):
        if not _ROLLUP_RULE.fullmatch(entry):
            raise ConfigError(
                f"{source} must list PATTERN=AGE:INTERVAL or PATTERN=AGE:INTERVAL:drop-raw, times such as 30d, not {entry!r}"
            )


_CHECKS = {
    "data": _check_given,
    "bind": _check_given,
    "region": _check_given,
    "default_domain": _check_given,
    "table_space": _check_table_space,
    "dynamodb_endpoint": _check_endpoint,
    "gateway_id": _check_gateway_id,
    "retention": _check_retention,
    "rollup": _check_rollup,
    "opentsdb_histograms": _check_histograms,
    "opentsdb_rollups": _check_rollups,
    "allow_anonymous": _check_anonymous,
}
"""What is asked of a text beyond its type."""


def _with_anonymous_domain(settings: Settings, domain_given: bool) -> Settings:
    """Let requests that name no domain go to the one that anonymous clients may use."""
    domain = settings.allow_anonymous.rpartition(":")[0]
    if domain in ("", "*"):
        return settings
    if domain_given and settings.default_domain != domain:
        raise ConfigError(
            f"AMDW_DEFAULT_DOMAIN is {settings.default_domain!r}, but clients without a key may only use {domain!r} "
            "(--allow-anonymous): requests that name no domain would have none to go to"
        )
    return replace(settings, default_domain=domain)
