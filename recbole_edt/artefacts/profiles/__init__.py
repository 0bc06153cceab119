"""Domain-aware user profiles."""
