"""What a power tariff bills: demand and peaks, outages included."""
