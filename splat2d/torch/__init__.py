"""The rasteriser as an operation of torch."""
