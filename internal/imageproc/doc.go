// Package imageproc turns image files into the arrays that vision models were
// trained on.
//
// Files are decoded by an explicit list of formats (PNG, JPEG, GIF, WebP, BMP),
// after limits on file size, side and pixel count have been checked against the
// header. What comes out is RGB as Pillow's Image.open(f).convert("RGB") gives
// it: alpha is dropped and not blended, palettes are expanded, grey is
// replicated, only the first frame of an animation counts. Chroma of JPEG and
// WebP files is interpolated as libjpeg and libwebp do, since the nearest
// chroma that Go's own conversion takes moves reward scores by about 1e-3.
//
// One thing differs on purpose: a JPEG with an EXIF orientation is turned the
// way every viewer shows it, which Pillow leaves to the caller.
package imageproc
