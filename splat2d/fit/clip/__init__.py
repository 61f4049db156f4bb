"""Fits of clips."""
