"""The composer: images in, names out, over pictures, files and videos. Alone knows all four roles."""
