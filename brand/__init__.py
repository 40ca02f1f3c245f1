"""Logo of the integration, and the images that are rendered from it."""
