"""Order-flow features: compiled incremental kernels, and the schema that describes them."""
