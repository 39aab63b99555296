"""TLS for every listener: one certificate and key for the whole process."""

from __future__ import annotations

import ssl

from amondawa.errors import ConfigError
from amondawa.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what listeners speak TLS with; None = they speak plain text.

    Raises:
        ConfigError: one of the two files is not named, cannot be read, or they do not fit each other.
    """
    if not settings.tls_cert and not settings.tls_key:
        return None
    if not settings.tls_cert or not settings.tls_key:
        raise ConfigError("--tls-cert and --tls-key (AMDW_TLS_CERT and AMDW_TLS_KEY) must be given together")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # a password is never asked for: a server that starts alone has nobody to ask
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(f"TLS certificate {settings.tls_cert} with key {settings.tls_key}: {error}") from error
    return context
