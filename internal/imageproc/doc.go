// Package imageproc turns image files into the arrays that vision models were
// trained on.
//
// Files are decoded by an explicit list of formats (PNG, JPEG, GIF, WebP, BMP,
// TIFF), after limits on file size, side and pixel count have been checked
// against the header. What comes out is RGB as Pillow's
// Image.open(f).convert("RGB") gives it, bit for bit: alpha is dropped and not
// blended, palettes are expanded, grey is replicated, 16-bit grey is clipped at
// 255, ink is multiplied by black, only the first frame of an animation counts,
// and EXIF orientation is left alone (DecodeUpright applies it). JPEG files have
// a decoder of our own, since the standard library's rounds differently and
// takes the nearest chroma, which moves reward scores by about 1e-3.
//
// Pictures are resampled as by Pillow (Resize), or as by torch from bytes
// (ResizeTorch) or in floating point (Letterbox); the three differ, and models
// were measured with one of them. The imaging library's filters are Pillow's to
// within a level, but their weights are not Pillow's fixed-point ones, so about one
// value in 300 would differ; Resize is equal bit for bit.
package imageproc
