"""The demo's report: what became of the catalogue, in figures and pictures."""
