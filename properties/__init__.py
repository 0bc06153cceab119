"""The YAML defaults; a package so that they travel inside the wheel."""
