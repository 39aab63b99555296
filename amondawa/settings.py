"""Frozen settings. Reading them from options, environment and the stored configuration has no effect on import."""

from __future__ import annotations

from dataclasses import dataclass


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
    default_domain: str = "default"

    # shape of the store
    store_column_height_s: int = 86_400
    """row width"""
    store_history_s: int = 0
    """0 = keep for ever"""
    store_history_blocks: int = 0
    """blocks over the history; 0 = blocks of 30 days"""

    # writes
    body_limit_bytes: int = 64 * 1024 * 1024
    line_limit_bytes: int = 1024 * 1024
    write_delay_ms: int = 2
    """how long a telnet line may wait for others to share its journal entry"""
    head_limit_bytes: int = 96 * 1024 * 1024
    """memory for points not yet in chunks; a flush starts at half of it, writers are refused at all of it"""
    flush_age_s: int = 3_600
    text_limit_bytes: int = 256 * 1024

    # reads
    cache_datapoints_bytes: int = 96 * 1024 * 1024
    query_points: int = 50_000_000
    query_series: int = 2_000_000
    query_seconds: float = 120.0
    query_threads: int = 4

    # OpenTSDB's own switches, off as in the original
    opentsdb_allow_delete: bool = False
    opentsdb_cors_domains: str = ""
    opentsdb_histograms: str = ""
    opentsdb_max_tags: int = 8

    # telnet connections
    telnet_idle_s: int = 300
    telnet_connections: int = 10_000
