"""Objects in pictures: masks, targets and fits of layers."""
