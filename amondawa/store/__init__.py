"""Stores in DynamoDB terms, the keys, the chunk codec and the ring of blocks."""
