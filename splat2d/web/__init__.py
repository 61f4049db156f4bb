"""The page that shows .splat files in a browser, and servers of it and of pictures.

`static` holds what `make web` builds from the folder web: the page, and the decoder as WebAssembly, packed by gzip
(97 kB, which is why it is in the tree: who installs the package needs neither zig nor node).
"""
