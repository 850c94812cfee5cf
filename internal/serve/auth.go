package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
)

// keys are the API keys that a server takes, as SHA-256: the keys themselves are not kept, and hashes are of one length.
type keys [][sha256.Size]byte

// ParseKeys reads a list of keys with commas between; spaces around a key do not belong to it.
func ParseKeys(list string) ([]string, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var out []string
	for _, key := range strings.Split(list, ",") {
		if key = strings.TrimSpace(key); key == "" {
			return nil, errors.New("the list of keys has an empty one; remove the comma too many")
		}
		out = append(out, key)
	}
	return out, nil
}

func newKeys(list []string) keys {
	var k keys
	for _, key := range list {
		k = append(k, sha256.Sum256([]byte(key)))
	}
	return k
}

// allow reports whether a request carries one of the keys: as bearer token, as X-API-Key, or as the password of basic
// authentication, which is how clients send it that are given nothing but a URL (http://any:KEY@host). All keys are compared, each
// in constant time.
func (k keys) allow(r *http.Request) bool {
	if len(k) == 0 {
		return true
	}
	given, ok := r.Header.Get("X-API-Key"), true
	if given == "" {
		if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
			given = strings.TrimSpace(token)
		} else {
			_, given, ok = r.BasicAuth()
		}
	}
	sum, match := sha256.Sum256([]byte(given)), 0
	for i := range k {
		match |= subtle.ConstantTimeCompare(sum[:], k[i][:])
	}
	return ok && match == 1
}
