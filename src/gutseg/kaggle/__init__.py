"""The Kaggle kernel and the dataset it reads.

bundle is what `gutseg kernel build` writes, with metadata for Kaggle and a manifest; sandbox runs
it as Kaggle would, offline; push hands it to the kaggle command.
"""
