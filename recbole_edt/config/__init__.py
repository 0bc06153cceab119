"""Configuration: keys, layers, checks."""
