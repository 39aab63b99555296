"""Every error that crosses a layer, in one tree.

AmondawaError
├── BadRequest          the caller's input is wrong; names field, index and value
│   └── TooOld          a point older than the history that is kept
├── Unauthorized        no valid access key came with the request
├── Forbidden           the access key, or its lack, does not permit what was asked
├── NotFound            what was named does not exist
├── LimitExceeded       a query budget or a size limit; says which and how to stay inside
│   ├── QuotaExceeded   a domain has as much as it may (also a BadRequest)
│   └── BodyTooLarge    a request body past the decoded-size limit
├── ComputeError        a query's arithmetic cannot be carried out on the points it met
├── Cancelled           the query was ended by its client or by an administrator
├── Unavailable         try again later; carries retry_after_s
│   ├── Overloaded      memory budget reached, the writer must slow down
│   └── StorageFull     no room to make a write durable
├── StoreError          the store failed
│   └── Corrupt         bytes that fail their checksum or do not decode; names where
└── ConfigError         a setting is wrong; the process exits with status 2

Protocols translate these into their own wire codes; nothing in here knows one.
"""

from __future__ import annotations


class AmondawaError(Exception):
    """Base of all errors that cross a layer."""


class BadRequest(AmondawaError):
    """The caller's input is wrong.

    Args:
        message: clear text for the client.
        field: the offending field's path, when known.
        index: position in a batch, when the input is one of many.
        value: the offending value, when it helps.
    """

    def __init__(self, message: str, *, field: str | None = None, index: int | None = None, value: object = None):
        super().__init__(message)
        self.message = message
        self.field = field
        self.index = index
        self.value = value


class TooOld(BadRequest):
    """A point older than the history that is kept."""


class Unauthorized(AmondawaError):
    """No valid access key came with the request. The text never tells whether a key exists."""


class Forbidden(AmondawaError):
    """Who asks may not do what was asked."""


class NotFound(AmondawaError):
    """What was named does not exist."""


class LimitExceeded(AmondawaError):
    """A budget was passed: the text names it, its limit and what to change."""


class BodyTooLarge(LimitExceeded):
    """A request body larger, once decoded, than the limit.

    Args:
        limit_bytes: the limit that was passed.
    """

    def __init__(self, limit_bytes: int):
        super().__init__(f"request body is larger than the limit of {limit_bytes} bytes after decoding")
        self.limit_bytes = limit_bytes


class QuotaExceeded(LimitExceeded, BadRequest):
    """A domain has as much of something as it may: the text names the domain and the limit.

    A BadRequest too: of a batch, only what goes past the limit is refused, as what is wrong would be.
    """


class Cancelled(AmondawaError):
    """The query was ended before it finished."""


class Unavailable(AmondawaError):
    """The request was not carried out and may be tried again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: int = 1):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """The memory budget for points not yet in chunks is used up."""


class StorageFull(Unavailable):
    """There is no room to make a write durable."""


class StoreError(AmondawaError):
    """The store failed in a way that a client cannot mend."""


class Corrupt(StoreError):
    """Bytes that fail their checksum or do not decode; the text names the item."""


class ConfigError(AmondawaError):
    """A setting is wrong; the text names it."""


class ComputeError(AmondawaError):
    """A stage met points that it cannot compute with; the text says which."""
