"""VGG16 with a 256-d head: the embedder of the paper's section 4.2.3 and table 2."""
