"""The bitstream: integers of splats to bytes and back."""
