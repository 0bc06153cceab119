"""Domain-aware profiles: what a user likes inside each domain, in words and as a vector."""

from recbole_edt.artefacts.profiles.make import make_profiles

__all__ = ["make_profiles"]
