"""What needs PyTorch: ``pip install 'flame-metric[torch]'``. Its names are found in ``flame_metric`` too."""
