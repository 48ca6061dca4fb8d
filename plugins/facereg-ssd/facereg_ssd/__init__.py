"""SSD300-VGG16, a face detector without landmarks, for facereg."""
