package lora

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// metadataKey is where diffusers keeps the settings of an adapter in a safetensors file.
const metadataKey = "lora_adapter_metadata"

// configName is PEFT's file of settings beside the weights.
const configName = "adapter_config.json"

// settings are the keys of PEFT's LoraConfig that say how much an adapter counts.
type settings struct {
	Alpha  *float64           `json:"lora_alpha"`
	Alphas map[string]float64 `json:"alpha_pattern"` // by a regular expression for the end of a module's name
	Rooted bool               `json:"use_rslora"`    // alpha/√r instead of alpha/r

	patterns []pattern
}

type pattern struct {
	text  *regexp.Regexp
	alpha float64
}

// readSettings reads the file's metadata, or PEFT's adapter_config.json where the file has PEFT's name.
func readSettings(file, network string, metadata map[string]string) (settings, error) {
	if text := metadata[metadataKey]; text != "" {
		s, err := fromMetadata(text, network)
		if err != nil {
			return s, fmt.Errorf("%s: metadata %s: %w", file, metadataKey, err)
		}
		return s, nil
	}
	if filepath.Base(file) != folderNames[1] {
		return settings{}, nil
	}
	config := filepath.Join(filepath.Dir(file), configName)
	data, err := os.ReadFile(config)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, nil
	}
	var s settings
	if err == nil {
		if err = json.Unmarshal(data, &s); err == nil {
			err = s.compile()
		}
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", config, err)
	}
	return s, nil
}

// fromMetadata takes the keys of a network: "unet.lora_alpha" and so on.
func fromMetadata(text, network string) (settings, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return settings{}, err
	}
	own := map[string]json.RawMessage{}
	for key, v := range all {
		if name, ok := strings.CutPrefix(key, network+"."); ok {
			own[name] = v
		}
	}
	data, err := json.Marshal(own)
	if err != nil {
		return settings{}, err
	}
	var s settings
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	return s, s.compile()
}

// compile reads the patterns, which count in the order of the file there; here the longest counts first, as JSON objects have
// no order.
func (s *settings) compile() error {
	keys := slices.SortedFunc(maps.Keys(s.Alphas), func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		re, err := regexp.Compile(`^(.*\.)?(` + key + `)$`)
		if err != nil {
			return fmt.Errorf("alpha_pattern: %w", err)
		}
		s.patterns = append(s.patterns, pattern{re, s.Alphas[key]})
	}
	return nil
}

// alpha is what a module's product is scaled by, times its rank; 0 stands for the rank.
func (s *settings) alpha(module string, rank int) float64 {
	alpha := 0.0
	if s.Alpha != nil {
		alpha = *s.Alpha
	}
	if i := slices.IndexFunc(s.patterns, func(p pattern) bool { return p.text.MatchString(module) }); i >= 0 {
		alpha = s.patterns[i].alpha
	}
	if s.Rooted {
		if alpha == 0 {
			alpha = float64(rank)
		}
		alpha *= math.Sqrt(float64(rank))
	}
	return alpha
}
