"""LLM-EDT."""
