"""The gateway: the only door of the protocols to series, points, names and documents."""

from amondawa.gateway.door import GatewayDoor as GatewayDoor
from amondawa.gateway.door import Watcher as Watcher
from amondawa.gateway.engine import FULL_MS as FULL_MS
from amondawa.gateway.engine import Gateway as Gateway
from amondawa.gateway.engine import wall_clock_ms as wall_clock_ms
