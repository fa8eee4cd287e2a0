"""Searching for similar pictures, as people and programs ask for it."""
