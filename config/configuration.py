"""Configuration of Amondawa: change it, then run `bin/configure config/configuration.py`. Gateways read it when they start.

Every key may be left out. An environment variable (see docs/settings.md) wins over what is stored.
"""

MINUTE = 60 * 1_000  # milliseconds
HOUR = 60 * MINUTE
DAY = 24 * HOUR

configuration = {
    # shape of the store
    # milliseconds of one series in a row, fixed once there are data; left out: a day, on DynamoDB 8 hours
    # "store_column_height": 1 * DAY,
    "store_history": 0,  # milliseconds of history to keep, older points are dropped; 0 = keep for ever
    "store_history_blocks": 0,  # blocks (pairs of tables) the history is divided into; 0 = blocks of 30 days
    # retention shorter than the history: metric pattern -> seconds; of several that match the first counts
    "retention": {
        # "debug.*": 24 * 3600,
    },
    # requests to DynamoDB
    "mt_readers": 16,  # reads in flight
    "mt_writers": 8,  # writes in flight
    "mt_write_delay": 0.002,  # seconds that a telnet line may wait for others to be stored with it
    # memory
    "cache_datapoints": 1_000_000,  # rows kept after a query (AMDW_CACHE_DATAPOINTS_BYTES limits their bytes)
    "cache_query_index_key": 100_000,  # metrics in blocks whose index is kept
    "cache_write_index_key": 64_000_000,  # index entries kept in all
    # throughput of DynamoDB's tables, units a second; 0 = on demand
    "tp_write_datapoints": 0,  # writes to the points of a block
    "tp_read_datapoints": 0,  # reads from the points of all blocks together
    "tp_write_index_key": 0,  # writes to the index of a block
    "tp_read_index_key": 0,  # reads from the indexes of all blocks together
    # maintenance of blocks
    "mx_create_next_min": 60,  # create the next block this many minutes ahead of its time,
    "mx_create_next_pct": 10,  # or this percentage of a block's length ahead, whichever is earlier
    "mx_turndown_min": 60,  # turn a finished block down this many minutes after its end,
    "mx_turndown_pct": 10,  # and this percentage of its length after it, whichever is later
}
