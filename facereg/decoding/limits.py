"""What one picture may take: pixels, bytes, time. Stated in docs/reference/pictures.md, which a test compares."""

from __future__ import annotations

MAX_PIXELS = 89_000_000  # 267 MB of RGB; a decoder holds 356 MB beside it
MAX_BYTES = 300_000_000  # RGB of MAX_PIXELS without compression, and room for its metadata
# A JPEG of one scan is decoded at a half, a quarter or an eighth: telephones take pictures of 200 megapixels.
MAX_REDUCED_PIXELS = 300_000_000
# Each scan of a progressive JPEG walks over the whole picture: 10 are usual, 1,500 took a minute.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 1_500_000_000  # scans times pixels
# Decoders that hold a picture several times over (WebP at 89 megapixels: 1.4 GB), or take some 0.1 s a megapixel.
MAX_PIXELS_OF = {"JPEG2000": 40_000_000, "WEBP": 50_000_000, "AVIF": 50_000_000, "HEIF": 50_000_000}
# Where Pillow's decoder is written in Python: PPM as text or with an odd largest value, BMP with run lengths.
MAX_PIXELS_IN_PYTHON = 2_000_000
MAX_PARTS = 100_000  # segments, chunks, strips, tags: each costs Python some microseconds and some bytes
MAX_PROFILE = 4 << 20  # bytes of an ICC profile; those of printers have 2 MB
MAX_EXIF = 1 << 20  # bytes of EXIF that are looked at: JPEG's own limit is 64 kB
SILENCE_S = 10.0  # a pipe that gives nothing for so long is given up
PIPE_S = 120.0  # and one that gives little for so long
