"""Side-by-side measurements against public peers: `python -m benchmarks [NAME ...] [--quick]`."""
