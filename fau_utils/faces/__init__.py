"""Synthetic faces with every truth known.

Who (`identity`), which movements (`muscles`), and everything else about a frame (`nuisance`) go into
`render.FaceRenderer`; a picture with landmarks, visibility and support maps comes out. In the order of the pipeline:
`fields` and `surface` (the head and what deforms it), `features` (where eyes, brows and mouth lie), `hair`, `camera`,
`splat` (which point a pixel sees), `canvas` with `eyes`, `mouth` and `extras` (painting), `shading`, `backdrop`,
`occluders`, `textures` (noise and the sensor). Everything random is a function of integer seeds (`rng`).
"""
