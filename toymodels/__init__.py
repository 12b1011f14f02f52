"""toymodels: a simulator of subliminal learning in small networks.

Import the module you need (``from toymodels import training``): nothing heavy is imported here, so
that a command line can answer ``--help`` before JAX is loaded.
"""

__version__ = "0.1.0"
