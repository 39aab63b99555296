"""Writing what save_as aggregators noted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from amondawa.gateway import GatewayDoor
from amondawa.model.points import Kind, Points, WriteBatch
from amondawa.protocols.kairosdb.lower import Saved


async def write_saved(gateway: GatewayDoor, domain: str, saved: Sequence[Saved]) -> int:
    """Write noted points in one batch; return how many there were. Nulls of empty buckets are left out.

    Raises:
        Overloaded, StorageFull, TooOld: as the gateway's write.
    """
    kept = [(one, one.points.take(one.points.kinds != Kind.NULL).with_used_texts()) for one in saved]
    kept = [(one, points) for one, points in kept if len(points)]
    if not kept:
        return 0
    counts = [len(points) for _, points in kept]
    refs = np.array([gateway.resolve(domain, one.metric, one.tags) for one, _ in kept], np.int32)
    joined = Points.concat([points for _, points in kept])
    expires = np.array([gateway.now_ms + one.ttl_s * 1000 if one.ttl_s else 0 for one, _ in kept], np.int64)
    await gateway.write(
        WriteBatch(
            np.repeat(refs, counts),
            joined.times_ms,
            joined.kinds,
            joined.bits,
            joined.texts,
            np.repeat(expires, counts) if expires.any() else None,
        )
    )
    return len(joined)
