"""The read path: plan row reads, merge chunks with the head, apply stages."""
