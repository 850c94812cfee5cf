package evaluation

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"winnow/datasets"
	"winnow/internal/pngmeta"
)

// pictureNames are the endings of picture files.
var pictureNames = []string{".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif"}

// Layout says how the pictures of a folder were told apart.
type Layout string

// The ways in which pictures name their prompt.
const (
	LayoutMetadata Layout = "the prompt inside the PNG file"
	LayoutIDs      Layout = "the prompt's id in the name" // ID.png, ID_k.png
	LayoutGenEval  Layout = "folders NNNNN/samples"       // of GenEval, from 0
	LayoutStyles   Layout = "folders of categories"       // CATEGORY/NNNNN.jpg, as HPSv2's benchmark
	LayoutNumbers  Layout = "numbers in the name"         // NNNNN.jpg, NNNNN_k.jpg
)

// MatchPictures finds the pictures of every prompt in a folder, in the order of their names: files that carry their prompt
// (PNG, as winnow and the common web interfaces write them), or that are named by its id or number. Numbers start at 0 (HPSv2,
// GenEval) unless no file has the number 0 and one has the number of prompts. Files of no prompt are in unused.
func MatchPictures(dir string, prompts []datasets.Prompt) (found [][]string, layout Layout, unused []string, err error) {
	var files []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && slices.Contains(pictureNames, strings.ToLower(filepath.Ext(path))) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, "", nil, err
	}
	if len(files) == 0 {
		return nil, "", nil, fmt.Errorf("%s: holds no pictures", dir)
	}
	slices.SortFunc(files, byNumbers)
	for _, try := range []struct {
		layout Layout
		of     func([]string, []datasets.Prompt, string) []int
	}{{LayoutMetadata, byMetadata}, {LayoutIDs, byID}, {LayoutGenEval, bySampleFolder}, {LayoutStyles, byStyle}, {LayoutNumbers, byNumber}} {
		at := try.of(files, prompts, dir)
		if at == nil {
			continue
		}
		found = make([][]string, len(prompts))
		for i, k := range at {
			if k < 0 || k >= len(prompts) {
				unused = append(unused, files[i])
				continue
			}
			found[k] = append(found[k], files[i])
		}
		if len(unused) < len(files) {
			return found, try.layout, unused, nil
		}
		unused = nil
	}
	return nil, "", nil, fmt.Errorf("%s: cannot tell which picture belongs to which prompt; name them by number (00000.png is the first prompt's, "+
		"00000_1.png its second) or by the prompts' ids, or write PNG files that carry their prompt", dir)
}

var digits = regexp.MustCompile(`\d+`)

// byNumbers sorts 2.png before 10.png.
func byNumbers(a, b string) int {
	pad := func(s string) string {
		return digits.ReplaceAllStringFunc(s, func(n string) string { return fmt.Sprintf("%020s", strings.TrimLeft(n, "0")) })
	}
	return cmp.Or(cmp.Compare(pad(a), pad(b)), cmp.Compare(a, b))
}

// byMetadata reads the prompts that PNG files carry; nil when a file carries none.
func byMetadata(files []string, prompts []datasets.Prompt, _ string) []int {
	index := map[string]int{}
	for i, p := range prompts {
		if _, ok := index[p.Text]; ok {
			return nil // the same prompt twice: its pictures cannot be told apart so
		}
		index[p.Text] = i
	}
	at := make([]int, len(files))
	for i, file := range files {
		text, ok := promptInside(file)
		if !ok {
			return nil
		}
		if k, ok := index[text]; ok {
			at[i] = k
		} else {
			at[i] = -1
		}
	}
	return at
}

func promptInside(file string) (string, bool) {
	f, err := os.Open(file)
	if err != nil {
		return "", false
	}
	defer f.Close()
	return pngmeta.Prompt(f)
}

// variant is what may stand behind a prompt's name: the number of its picture.
var variant = regexp.MustCompile(`[-_]\d+$`)

func stem(file string) string {
	return strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
}

// byID finds ID.png and ID_k.png; nil when the prompts have no ids that tell them apart.
func byID(files []string, prompts []datasets.Prompt, _ string) []int {
	index := map[string]int{}
	for i, p := range prompts {
		if _, ok := index[p.ID]; ok || p.ID == "" {
			return nil
		}
		index[p.ID] = i
	}
	at := make([]int, len(files))
	for i, file := range files {
		k, ok := index[stem(file)]
		if !ok {
			k, ok = index[variant.ReplaceAllString(stem(file), "")]
		}
		if !ok {
			k = -1
		}
		at[i] = k
	}
	return at
}

// bySampleFolder finds NNNNN/samples/0000.png.
func bySampleFolder(files []string, _ []datasets.Prompt, dir string) []int {
	at := make([]int, len(files))
	for i, file := range files {
		rel, err := filepath.Rel(dir, file)
		parts := strings.Split(filepath.ToSlash(rel), "/")
		if err != nil || len(parts) != 3 || parts[1] != "samples" {
			return nil
		}
		n, err := strconv.Atoi(parts[0])
		if err != nil {
			return nil
		}
		at[i] = n
	}
	return at
}

// number reads NNNNN and NNNNN_k.
func number(file string) (int, bool) {
	n, err := strconv.Atoi(variant.ReplaceAllString(stem(file), ""))
	return n, err == nil
}

// byStyle finds CATEGORY/NNNNN.jpg, numbered within the prompts of the category.
func byStyle(files []string, prompts []datasets.Prompt, dir string) []int {
	members := map[string][]int{}
	for i, p := range prompts {
		if p.Category != "" {
			members[p.Category] = append(members[p.Category], i)
		}
	}
	at := make([]int, len(files))
	lists := map[string][]int{} // files of a category
	for i, file := range files {
		rel, err := filepath.Rel(dir, filepath.Dir(file))
		_, ok := number(file)
		if err != nil || !ok || members[rel] == nil {
			return nil
		}
		lists[rel] = append(lists[rel], i)
	}
	for style, list := range lists {
		var names []string
		for _, i := range list {
			names = append(names, files[i])
		}
		for k, n := range numbers(names, len(members[style])) {
			at[list[k]] = -1
			if n >= 0 && n < len(members[style]) {
				at[list[k]] = members[style][n]
			}
		}
	}
	return at
}

// byNumber finds NNNNN.jpg and NNNNN_k.jpg.
func byNumber(files []string, prompts []datasets.Prompt, _ string) []int {
	return numbers(files, len(prompts))
}

// numbers are those in the names, counted from 0; nil when a name has none.
func numbers(files []string, prompts int) []int {
	at := make([]int, len(files))
	zero, last := false, false
	for i, file := range files {
		n, ok := number(file)
		if !ok {
			return nil
		}
		at[i] = n
		zero, last = zero || n == 0, last || n == prompts
	}
	if last && !zero { // numbered from 1, as winnow generate does
		for i := range at {
			at[i]--
		}
	}
	return at
}
