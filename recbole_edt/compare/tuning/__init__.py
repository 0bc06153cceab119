"""Hyper-parameter search on validation: spaces, strategies, trials."""
