"""Raw data to the files of a dataset: readers, filters, order, split."""
