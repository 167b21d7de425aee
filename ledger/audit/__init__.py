"""The audit: replays a federation from its records alone, and says what holds."""
