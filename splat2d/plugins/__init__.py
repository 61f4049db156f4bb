"""Doors into other libraries: each module registers .splat files with one of them."""
