"""Datasets: RecBole's contracts, gathered lazily, any number of domains."""
