"""Datasets: splits, sequences and batches of any number of domains, seen by RecBole as its own."""
