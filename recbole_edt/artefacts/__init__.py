"""Artefacts made by encoders and LLMs: item vectors, and where all of it is stored."""
