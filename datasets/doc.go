// Package datasets reads what people already have: prompt lists and preference sets. Files are read as streams;
// a broken row is an error with file and line, never dropped in silence.
package datasets
