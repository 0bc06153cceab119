"""Codes of a row in a split."""

TRAIN, VALID, TEST, CONTEXT, LATER = 0, 1, 2, 3, 4
"""A context row is history for later targets, never a target itself; a later row, after the test
window of a fold, is nothing to it."""
