"""Every listener speaks TLS when it has a certificate, and nothing else."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from amondawa.app import Process, curl_line, listening_text
from amondawa.errors import ConfigError
from amondawa.listeners.tls import tls_context
from amondawa.settings import Settings
from amondawa.store.open import open_store
from tests.test_app import port_settings

PORTS = {"http_port": "/health/ready", "kairosdb_port": "/api/v1/version", "opentsdb_port": "/api/version"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Write a certificate for localhost that signs itself; return the paths of it and of its key."""
    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / "cert.pem", directory / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert_path), str(key_path)


async def test_every_port_speaks_tls_and_no_plain_text(certificate: tuple[str, str]):
    cert, key = certificate
    settings = Settings(**(port_settings() | {"store": "memory", "tls_cert": cert, "tls_key": key}))
    process = Process(settings, open_store(settings))
    trusting = ssl.create_default_context(cafile=cert)
    try:
        await process.bind()
        await process.start()
        async with ClientSession() as session:
            for port, path in PORTS.items():
                number = getattr(settings, port)
                async with session.get(f"https://localhost:{number}{path}", ssl=trusting) as answer:
                    assert answer.status == 200
                with pytest.raises(ClientConnectionError):
                    await session.get(f"http://localhost:{number}{path}")
        for port in ("opentsdb_port", "kairosdb_telnet_port"):
            reader, writer = await asyncio.open_connection("localhost", getattr(settings, port), ssl=trusting)
            writer.write(b"version\n")
            assert await reader.readline()
            writer.close()
            await writer.wait_closed()
    finally:
        await process.stop()
    assert "https://" in listening_text(settings)
    assert "telnets://" in listening_text(settings)
    assert "curl https://" in curl_line(settings)


def test_without_files_there_is_no_tls():
    assert tls_context(Settings()) is None


def test_wrong_files_are_told(certificate: tuple[str, str], tmp_path: Path):
    cert, key = certificate
    (tmp_path / "empty").touch()
    for tls_cert, tls_key in (
        (cert, ""),
        ("", key),
        (cert, cert),
        (key, key),
        ("/nowhere", key),
        (str(tmp_path / "empty"), key),
    ):
        with pytest.raises(ConfigError, match="(?i)tls"):
            tls_context(Settings(tls_cert=tls_cert, tls_key=tls_key))
