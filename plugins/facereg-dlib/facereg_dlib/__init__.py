"""dlib's face recognition ResNet, public domain, in ONNX Runtime or on a Triton server, without dlib."""
