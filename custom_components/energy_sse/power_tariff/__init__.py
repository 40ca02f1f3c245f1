"""Power tariff: demand and monthly peaks."""
