"""The low-level client: made when a store opens, without botocore's own retries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amondawa.errors import ConfigError

Client = Any
"""botocore's DynamoDB client, or anything with its methods"""
ClientMaker = Callable[[], Client]

CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 3.0
"""DynamoDB answers in milliseconds: whoever waits longer waits for a dead connection"""


def client_maker(region: str, endpoint: str, connections: int) -> ClientMaker:
    """Return what makes a client; calling it reads the standard AWS credential chain and connects to nothing.

    Args:
        region: AWS region.
        endpoint: URL of another DynamoDB than the region's own; '' = the region's.
        connections: how many requests may be in flight.
    """

    def make() -> Client:
        import boto3  # takes 0.2 s, which no other store should pay for
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=connections,
            parameter_validation=False,
            retries={"mode": "standard", "total_max_attempts": 1},
            tcp_keepalive=True,
        )
        try:
            session = boto3.session.Session(region_name=region)
            return session.client("dynamodb", endpoint_url=endpoint or None, config=config)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"no DynamoDB client for region {region!r}, endpoint {endpoint!r}: {error}") from error

    return make
