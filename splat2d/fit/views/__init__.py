"""Fitting light fields."""
