"""Decoded files: what a picture, a clip and a layer can do."""
