"""Changes the product at random, and looks whether a test notices."""
