"""Training on labels of the future, and the experiments of the FLAME paper: ``pip install 'flame-metric[torch]'``."""
