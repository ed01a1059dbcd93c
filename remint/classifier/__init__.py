"""The small classifier: its network and its training."""
