"""Clips as users have them, in and out: containers, animations and sequences of images."""
