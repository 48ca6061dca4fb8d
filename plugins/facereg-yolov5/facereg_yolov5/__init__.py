"""YOLOv5s with five landmarks a face, for facereg."""
