// Package datasets reads what people already have: prompt lists here, preference sets later. Files are read as streams;
// a broken row is an error with file and line, never dropped in silence.
package datasets
