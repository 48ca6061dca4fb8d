"""From the bytes of a picture file, which anybody may have made, to pixels: what may be read, how far, and how.

`source` takes the bytes in, `containers` says what kind they are and takes from them all that is no picture,
`decoder` calls Pillow's reader of that kind within the limits of `limits`, and `colours` makes upright RGB of it.
"""
