package sampling

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// SearchSetting is one setting of a search method, a field of its options.
type SearchSetting struct {
	Name string // as in "burn-in" for the field BurnIn
	Kind string // "number", "whole number", "numbers", "word" or "true or false"
	// Value is the one that holds; "" stands for what the options say zero means.
	Value string
}

// Settings lists what [SearchInfo.With] can set.
func (i SearchInfo) Settings() []SearchSetting {
	var out []SearchSetting
	eachSetting(reflect.ValueOf(i.options), func(name string, v reflect.Value) {
		value := ""
		if !v.IsZero() {
			value = strings.Trim(strings.ReplaceAll(fmt.Sprint(v.Interface()), " ", ","), "[]")
		}
		out = append(out, SearchSetting{name, settingKind(v), value})
	})
	return out
}

// With is the method with other settings, each given as name=value, such as "temperature=0.2" or "checks=0.2,0.5". Whether values
// make sense is only known when the search runs.
func (i SearchInfo) With(settings ...string) (SearchInfo, error) {
	options := reflect.New(reflect.TypeOf(i.options)).Elem()
	options.Set(reflect.ValueOf(i.options))
	for _, s := range settings {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			return i, fmt.Errorf("sampling: setting %q of %s: want name=value", s, i.Name)
		}
		found, names := reflect.Value{}, []string{}
		eachSetting(options, func(n string, v reflect.Value) {
			if names = append(names, n); n == name {
				found = v
			}
		})
		if !found.IsValid() {
			return i, fmt.Errorf("sampling: %s has no setting %q; it has %s", i.Name, name, orNone(names))
		}
		if err := setSetting(found, value); err != nil {
			return i, fmt.Errorf("sampling: setting %s of %s is %q, want a %s", name, i.Name, value, settingKind(found))
		}
	}
	i.options = options.Interface()
	return i, nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// eachSetting visits the fields that a word on a command line can set, those of embedded structs among them.
func eachSetting(options reflect.Value, visit func(name string, v reflect.Value)) {
	for k := range options.NumField() {
		field, v := options.Type().Field(k), options.Field(k)
		if field.Anonymous {
			eachSetting(v, visit)
		} else if settingKind(v) != "" {
			visit(kebab(field.Name), v)
		}
	}
}

func settingKind(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "word"
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Float64 {
			return "list of numbers"
		}
	}
	return ""
}

func setSetting(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		v.SetInt(int64(n))
		return err
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		v.SetFloat(x)
		return err
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		v.SetBool(b)
		return err
	case reflect.String:
		v.SetString(text)
		return nil
	}
	var list []float64
	for part := range strings.SplitSeq(text, ",") {
		x, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return err
		}
		list = append(list, x)
	}
	v.Set(reflect.ValueOf(list))
	return nil
}

// kebab writes a field's name as flags are written.
func kebab(name string) string {
	var b strings.Builder
	for k, r := range name {
		if k > 0 && unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
