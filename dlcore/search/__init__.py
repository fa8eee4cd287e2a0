"""Binary codes: Hamming distances, near-duplicate groups, and the index files that a search reads."""
