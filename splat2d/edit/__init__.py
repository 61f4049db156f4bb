"""Files to edit: layers and what is done to them, without their splats."""
