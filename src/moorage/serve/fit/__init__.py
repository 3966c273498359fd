"""Making the models of a configuration fit on a machine."""
