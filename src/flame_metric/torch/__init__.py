"""What needs PyTorch. Nothing here is imported by ``import flame_metric``; public names load on first use."""
