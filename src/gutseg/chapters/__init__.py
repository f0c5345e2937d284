"""What a report says: each chapter turns data or run folders into sections of tables and charts."""
