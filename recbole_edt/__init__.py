"""LLM-EDT for RecBole: cross-domain sequential recommendation with dual-phase training."""

__version__ = "0.1.0"
