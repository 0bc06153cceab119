"""Proposed interactions in other domains."""
