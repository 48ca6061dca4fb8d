"""Published ONNX files as stages: YuNet detectors and ArcFace-style embedders."""
