"""MTCNN (Zhang et al. 2016): three small networks in a cascade, faces with five landmarks."""
