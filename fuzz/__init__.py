"""Fuzzing: mutants of good files with checksums made right again, and what no file may do to a reader."""
