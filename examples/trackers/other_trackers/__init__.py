"""Trackers for programs beside W&B."""
