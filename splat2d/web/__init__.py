"""The page that shows .splat files in a browser, and servers of it and of pictures.

`static` holds what `make web` builds from the folder web: the page, and the decoder as WebAssembly, packed by
gzip. Both are in the tree, so that who installs the package needs neither zig nor node. The decoder is 97 kB;
were it ever to have more than 150, it would have to be built with every package instead.
"""
