"""Cross-domain sequential models of others, for K domains, and what they are measured with."""
