"""A fair comparison of losses and networks: a grid of cells, each trained alike."""
