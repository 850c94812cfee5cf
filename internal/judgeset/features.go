package judgeset

import (
	"encoding/json"
	"reflect"
	"strings"
)

// features describes the columns of a row type to Hugging Face's datasets, which reads it from the metadata of parquet files under the key
// "huggingface": so pictures arrive as pictures. Lists are written as JSON lists, which old and new versions read.
func features(row reflect.Type) string {
	data, err := json.Marshal(map[string]any{"info": map[string]any{"features": feature(row)}})
	if err != nil {
		panic(err) // maps of texts only
	}
	return string(data)
}

func feature(t reflect.Type) any {
	value := func(dtype string) any { return map[string]string{"dtype": dtype, "_type": "Value"} }
	switch t {
	case reflect.TypeFor[picture](), reflect.TypeFor[verlPicture]():
		return map[string]string{"_type": "Image"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return feature(t.Elem())
	case reflect.Slice:
		return []any{feature(t.Elem())}
	case reflect.Bool:
		return value("bool")
	case reflect.Int64:
		return value("int64")
	case reflect.Struct:
		out := map[string]any{}
		for f := range t.Fields() {
			if f.Anonymous {
				for name, v := range feature(f.Type).(map[string]any) {
					out[name] = v
				}
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
			out[name] = feature(f.Type)
		}
		return out
	}
	return value("string")
}
