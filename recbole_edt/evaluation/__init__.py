"""Ranking targets and summarising ranks, the same for every model."""
