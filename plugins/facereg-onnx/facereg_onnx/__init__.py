"""Published ONNX files as stages: detectors of five kinds, landmark aligners and embedders."""
