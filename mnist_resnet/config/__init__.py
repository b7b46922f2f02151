"""Compose, validate, sign and freeze configs."""
