"""Other people's programs, run on our folds at our budget."""
