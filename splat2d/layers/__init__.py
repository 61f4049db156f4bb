"""Layers: what edits say, how they add up, and how layers are drawn over each other."""
