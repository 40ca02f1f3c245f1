"""Mutation testing: random changes of the product, and the tests that kill them."""
