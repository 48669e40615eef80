"""Training on labels of the future, and the paper's experiments; needs ``pip install 'flame-metric[torch]'``."""
