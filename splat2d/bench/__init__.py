"""Benchmarks of image codecs: ours and others through one interface, real files, figures that can be rerun.

It stands above both floors: nothing but `splat2d bench` and the scripts in benchmarks/ imports it. Plots,
BD-rates and further codecs need the extra `bench`.
"""
