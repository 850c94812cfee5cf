package datasets

import (
	"fmt"
	"slices"
	"strings"
)

// Format names the layout of a set on disk.
type Format string

// FormatInfo describes a format.
type FormatInfo struct {
	Name   Format
	About  string
	Source string // repository and file of the original
	Kind   Kind   // of its records; 0 when rows differ
	Known  []Known
}

// Known is a count of a public file, for telling a whole copy from a cut one.
type Known struct {
	Set    string // which file of the format
	Counts Counts // what is zero is not compared
}

// format joins what is known of a format with its reader.
type format struct {
	FormatInfo
	ext    []string                                     // of its files
	keys   []string                                     // that the first row has, for Detect
	match  func(keys []string) bool                     // in place of keys, where they have alternatives
	row    func(raw []byte, in *input) (Record, error)  // JSON lists and lines: one row
	list   string                                       // JSON: key of the list inside an object; "" for a bare list
	table  func(t *table, in *input) (Record, error)    // parquet: one row
	open   func(path string, in *input) (source, error) // anything else
	wants  func(t *table) error                         // parquet: columns that must be there
	column []string                                     // parquet: columns that are read; nil for all
}

// registry lists the formats; init order of files does not matter because it is built on use.
func registry() []*format {
	return []*format{
		imageRewardFormat(), imageRewardDBFormat(), hpdv2Format(), hpdv2TrainFormat(), hpdv3Format(), pickaPicFormat(),
		openImagePreferencesFormat(), genAIBenchFormat(), genAIBenchParquetFormat(), genAIBenchRatingsFormat(), evalMuseFormat(),
		mmrb2Format(), partiPromptsFormat(), genEvalFormat(), drawBenchFormat(), dpgBenchFormat(), promptsFormat(), folderFormat(),
		csvFormat(), jsonlFormat(), webDatasetFormat(),
	}
}

// Formats lists what Open reads.
func Formats() []FormatInfo {
	var all []FormatInfo
	for _, f := range registry() {
		all = append(all, f.FormatInfo)
	}
	return all
}

func lookup(name Format) (*format, error) {
	var names []string
	for _, f := range registry() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, string(f.Name))
	}
	return nil, &ArgumentError{fmt.Sprintf("there is no format %q; there are %s", name, strings.Join(names, ", "))}
}

// ArgumentError is a request that no file could satisfy.
type ArgumentError struct{ message string }

func (e *ArgumentError) Error() string { return e.message }

// matches says how well a format fits the extension and the names in the first row; 0 when it does not.
func (f *format) matches(ext string, keys []string) int {
	if !slices.Contains(f.ext, ext) || f.match != nil && !f.match(keys) {
		return 0
	}
	for _, k := range f.keys {
		if !slices.Contains(keys, k) {
			return 0
		}
	}
	return len(f.keys) + 1
}
