"""The only code that imports RecBole."""
