"""A restorer measured: slices, classical rows, galleries, distances and the published protocol."""
