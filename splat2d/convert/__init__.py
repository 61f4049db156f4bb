"""Pictures of splats in other programs' formats, and back; a module a format, found by suffix."""
