"""The keys, by subject: a class per group, a type per key, and below it why it is there."""
