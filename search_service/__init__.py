"""Search for similar pictures, for people and programs."""
