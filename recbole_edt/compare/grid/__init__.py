"""Cells of a comparison in processes of their own: scheduling, progress, state on disk."""
