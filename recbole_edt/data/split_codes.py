"""Codes of a row in a split."""

TRAIN, VALID, TEST, CONTEXT = 0, 1, 2, 3
"""A context row is history for later targets, never a target itself."""
