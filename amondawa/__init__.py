"""Amondawa: a time series gateway that answers as KairosDB and as OpenTSDB."""

__version__ = "1.0.0"
