"""A synthetic patient to practise on: drawn, not scanned, so that anyone may have the data."""
