"""Training in phases, checkpoints, resuming."""
