package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
)

// tokenName is a special token in a configuration file: a string, or an object
// that carries it as "content".
type tokenName string

// UnmarshalJSON accepts both forms, and null as absent.
func (n *tokenName) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(n))
	}
	var object struct {
		Content *string `json:"content"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if object.Content == nil {
		return errors.New(`a special token is neither a string nor an object with "content"`)
	}
	*n = tokenName(*object.Content)
	return nil
}

// specials are the role names that both configuration files may hold.
type specials struct {
	BOS tokenName `json:"bos_token"`
	EOS tokenName `json:"eos_token"`
	Pad tokenName `json:"pad_token"`
	Unk tokenName `json:"unk_token"`
}

func (s specials) into(o *Options) {
	for _, p := range []struct {
		from tokenName
		to   *string
	}{{s.BOS, &o.BOS}, {s.EOS, &o.EOS}, {s.Pad, &o.Pad}, {s.Unk, &o.Unk}} {
		if p.from != "" {
			*p.to = string(p.from)
		}
	}
}

// addedEntry is a token of added_tokens_decoder or of tokenizer.json.
type addedEntry struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	Normalized bool   `json:"normalized"`
	SingleWord bool   `json:"single_word"`
}

func (a addedEntry) added() Added {
	return Added{Content: a.Content, ID: a.ID, Normalized: a.Normalized, SingleWord: a.SingleWord}
}

// readSettings merges the optional files; tokenizer_config.json wins over
// special_tokens_map.json, as in transformers.
func readSettings(fsys fs.FS, source string) (*Options, error) {
	opt := &Options{}
	var named specials
	if err := readOptional(fsys, source, "special_tokens_map.json", &named); err != nil {
		return nil, err
	}
	named.into(opt)
	var config struct {
		specials
		MaxLength json.Number           `json:"model_max_length"`
		Added     map[string]addedEntry `json:"added_tokens_decoder"`
	}
	const configName = "tokenizer_config.json"
	if err := readOptional(fsys, source, configName, &config); err != nil {
		return nil, err
	}
	config.into(opt)
	for key, a := range config.Added {
		id, err := strconv.Atoi(key)
		if err != nil {
			return nil, &FileError{File: path.Join(source, configName), Msg: fmt.Sprintf("added_tokens_decoder key %q is not an id", clip(key))}
		}
		a.ID = id
		opt.Added = append(opt.Added, a.added())
	}
	// An absent or astronomically large length (transformers writes 1e30) means "not stated".
	if n, err := config.MaxLength.Float64(); err == nil && n >= 2 && n <= maxPadded {
		opt.MaxLength = int(n)
	}
	if err := readAdded(fsys, source, opt); err != nil {
		return nil, err
	}
	// Map order is random; ids are not.
	slices.SortFunc(opt.Added, func(a, b Added) int { return cmp.Compare(a.ID, b.ID) })
	return opt, checkAdded(source, opt.Added)
}

// readAdded reads the older form of added tokens, a plain map from token to id.
func readAdded(fsys fs.FS, source string, opt *Options) error {
	var added map[string]int
	if err := readOptional(fsys, source, "added_tokens.json", &added); err != nil {
		return err
	}
	for _, content := range slices.Sorted(maps.Keys(added)) {
		known := slices.ContainsFunc(opt.Added, func(a Added) bool { return a.Content == content })
		if !known {
			opt.Added = append(opt.Added, Added{Content: content, ID: added[content], Normalized: true})
		}
	}
	return nil
}

func checkAdded(source string, added []Added) error {
	for _, a := range added {
		if a.ID < 0 || a.ID > maxTokens || a.Content == "" {
			return &FileError{File: source, Msg: fmt.Sprintf("added token %q with id %d", clip(a.Content), a.ID)}
		}
	}
	return nil
}

// readOptional decodes a JSON file if it exists.
func readOptional(fsys fs.FS, source, name string, v any) error {
	full := path.Join(source, name)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &FileError{File: full, Msg: "cannot be opened", Err: err}
	}
	defer f.Close()
	data, err := readLimited(full, f)
	if err != nil {
		return err
	}
	return decodeJSON(full, data, v)
}

// openTokenizerJSON reads the single-file form. Only what CLIPTokenizer writes
// is accepted, because another model or suffix would silently give other ids.
func openTokenizerJSON(fsys fs.FS, source string, opt *Options) (*CLIP, error) {
	name := path.Join(source, "tokenizer.json")
	var file struct {
		Added []addedEntry `json:"added_tokens"`
		Model *struct {
			Type   string         `json:"type"`
			Suffix string         `json:"end_of_word_suffix"`
			Vocab  map[string]int `json:"vocab"`
			Merges []mergeEntry   `json:"merges"`
		} `json:"model"`
	}
	if err := readOptional(fsys, source, "tokenizer.json", &file); err != nil {
		return nil, err
	}
	switch {
	case file.Model == nil:
		return nil, &FileError{File: source, Msg: "holds neither vocab.json with merges.txt nor a tokenizer.json with a model", Err: fs.ErrNotExist}
	case file.Model.Type != "BPE" || file.Model.Suffix != wordEnd:
		return nil, &FileError{File: name, Msg: fmt.Sprintf("holds a %s model with word suffix %q; a CLIP tokenizer is BPE with %q", file.Model.Type, file.Model.Suffix, wordEnd)}
	}
	if err := checkVocab(name, file.Model.Vocab); err != nil {
		return nil, err
	}
	for _, a := range file.Added {
		opt.Added = append(opt.Added, a.added())
	}
	if err := checkAdded(name, opt.Added); err != nil {
		return nil, err
	}
	pairs := make([]mergeLine, len(file.Model.Merges))
	for i, m := range file.Model.Merges {
		pairs[i] = mergeLine{m[0], m[1], name, 0}
	}
	return build(name, file.Model.Vocab, pairs, opt)
}

// mergeEntry is a merge in tokenizer.json: ["a","b"], or "a b" in older files.
type mergeEntry [2]string

// UnmarshalJSON accepts both forms.
func (m *mergeEntry) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		line, err := splitMerge("tokenizer.json", 0, text)
		m[0], m[1] = line.left, line.right
		return err
	}
	var parts []string
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("a merge of %d symbols instead of 2", len(parts))
	}
	*m = mergeEntry(parts)
	return nil
}
