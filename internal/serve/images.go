package serve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image"
	"strings"

	"winnow/internal/imageproc"
)

// source is a picture of a request: text that holds it, or an object with one of these members. A text is base64, or a data URL,
// or an http(s) address where addresses are allowed; it is never a path.
//
//	"iVBORw0…"   "data:image/png;base64,iVBORw0…"   {"b64": "…"}   {"path": "a/b.png"}   {"url": "https://…"}
type source struct {
	B64  string `json:"b64"`
	Path string `json:"path"`
	URL  string `json:"url"`
}

func (s *source) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*s = sourceOf(text)
		return nil
	}
	type plain source
	return json.Unmarshal(data, (*plain)(s))
}

func sourceOf(text string) source {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return source{URL: text}
	}
	return source{B64: text}
}

// load gives the bytes of a picture. Its errors are of this picture alone.
func (s *Server) load(ctx context.Context, from source, l *lease) ([]byte, error) {
	given := 0
	for _, v := range []string{from.B64, from.Path, from.URL} {
		if v != "" {
			given++
		}
	}
	switch {
	case given == 0:
		return nil, errors.New("there is no image; give base64, a data URL, or an object with one of b64, path, url")
	case given > 1:
		return nil, errors.New("the image has more than one of b64, path and url")
	case from.Path != "":
		return s.paths.read(from.Path, s.options.Limits.Bytes, l)
	case from.URL != "":
		return s.urls.fetch(ctx, from.URL, s.options.Limits.Bytes, l)
	}
	return decodeBase64(from.B64)
}

// decodeBase64 takes plain base64 and data URLs, whose media type is not believed; flow_grpo's "data:image;base64," is one too.
func decodeBase64(text string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(text, "data:"); ok {
		about, body, found := strings.Cut(rest, ",")
		if !found || !strings.HasSuffix(about, ";base64") {
			return nil, errors.New("the data URL is not data:image/…;base64,…")
		}
		text = body
	}
	text = strings.TrimSpace(text)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil && len(text)%4 != 0 {
		data, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err != nil {
		return nil, errors.New("the image is neither base64 nor a data URL: " + err.Error())
	}
	return data, nil
}

// picture checks the header of an encoded picture, so that what cannot be used never reaches the queue.
func (s *Server) picture(prompt string, data []byte) (picture, error) {
	w, h, err := imageproc.Size("image", data, s.options.Limits)
	if err != nil {
		return picture{}, err
	}
	return picture{prompt: prompt, data: data, pixels: w * h}, nil
}

// see decodes a picture as a judge sees it.
func (s *Server) see(data []byte) (image.Image, error) {
	return imageproc.DecodeUpright("image", data, s.options.Limits)
}
