"""Published ONNX files as stages: YuNet detectors, landmark aligners and ArcFace-style embedders."""
