"""Networks as pure functions: MLP, CNN and transformer; their layers and groups of parameters."""
