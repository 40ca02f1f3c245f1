"""The integration's drawing, and the images that Home Assistant shows of it."""
