"""The fit floor: from pixels to integers and bytes."""
