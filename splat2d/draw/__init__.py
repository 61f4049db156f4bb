"""From splats to pixels."""
