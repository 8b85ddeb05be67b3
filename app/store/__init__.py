"""Where everything is kept: ports in `base`, one package a backend."""
