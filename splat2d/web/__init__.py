"""The page that shows .splat files in a browser, and servers of it and of pictures.

`static` holds what `make web` builds from the folder web: the page, and the decoder as WebAssembly, packed by
gzip. Both are in the tree, so that who installs the package needs neither zig nor node; the decoder has 97 kB, and
would have to be built from its sources with every package if it ever had more than 150.
"""
