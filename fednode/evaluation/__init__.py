"""Metrics in integers, and the utilities that contributions are computed from."""
