"""Contribution and reward: cooperative games, the Shapley value, exact splits."""
