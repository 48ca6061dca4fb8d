"""MobileNetV3-small with a 128-d head: the embedder of the paper's section 4.2.1."""
