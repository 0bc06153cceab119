"""Item vectors."""
