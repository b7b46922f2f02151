"""Composes, validates, hashes and freezes configs."""
