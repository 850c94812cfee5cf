//go:build unix

package serve

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// errorOf scores one image and gives the error of the item.
func errorOf(t *testing.T, url string, image any) string {
	t.Helper()
	var got scoreReply
	r := post(t, url+"/v1/score", object{"items": []object{{"prompt": "x", "image": image}}}, &got)
	if r.status != 200 || len(got.Items) != 1 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return got.Items[0].Error
}

func TestNothingIsOpenedUnasked(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	file := filepath.Join(t.TempDir(), "a.png")
	if err := os.WriteFile(file, encode(t, 2, 2, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, h := start(t, Options{})
	for _, image := range []any{object{"path": file}, file, object{"url": other.URL}, other.URL, object{"url": "file://" + file}, "file://" + file} {
		if errorOf(t, h.URL, image) == "" || asked {
			t.Errorf("%v was opened", image)
		}
	}
}

func TestAllowPath(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	img := encode(t, 2, 2, 1)
	for name, data := range map[string][]byte{"in/a.png": img, "in/sub/b.png": img, "out/secret.png": img, "in/big": make([]byte, 5000)} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"in/inner": "sub", "in/outer": "../out", "in/abs": out, "in/file.png": "../out/secret.png", "in/up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(in, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	o := Options{AllowPath: []string{in}}
	o.Limits.Bytes = 4000
	_, h := start(t, o)
	for _, name := range []string{"a.png", "sub/b.png", "inner/b.png", "./a.png", "sub/../a.png", filepath.Join(in, "a.png")} {
		if why := errorOf(t, h.URL, object{"path": name}); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
	for _, name := range []string{
		"../out/secret.png", "sub/../../out/secret.png", filepath.Join(out, "secret.png"), "outer/secret.png", "abs/secret.png", "file.png", "up/out/secret.png",
		in + "/../out/secret.png", "/etc/passwd", "/proc/self/environ", "missing.png", "sub", "pipe", "big", "a.png\x00", in,
	} {
		why := errorOf(t, h.URL, object{"path": name})
		if why == "" {
			t.Errorf("%q was opened", name)
		}
		if name != "pipe" && name != "sub" && name != "big" && name != in && !strings.Contains(why, "no such file") {
			t.Errorf("%q: %s", name, why)
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.1.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "::1": false, "::": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false, "198.18.0.1": false, "fe80::1%eth0": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestAllowURL(t *testing.T) {
	img := encode(t, 2, 2, 1)
	hits := 0
	secret := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		_, _ = w.Write(img)
	}))
	defer secret.Close()
	var allowed *httptest.Server
	allowed = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.png":
			_, _ = w.Write(img)
		case "/inside":
			http.Redirect(w, r, allowed.URL+"/a.png", http.StatusFound)
		case "/outside":
			http.Redirect(w, r, secret.URL+"/a.png", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, allowed.URL+"/loop", http.StatusFound)
		case "/big":
			_, _ = w.Write(make([]byte, 5000))
		case "/endless":
			for range 100 {
				_, _ = w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		default:
			http.NotFound(w, r)
		}
	}))
	defer allowed.Close()
	at, _ := url.Parse(allowed.URL)
	// localhost is a name that resolves to a private address: naming it does not help, naming the address does.
	o := Options{AllowURL: []string{at.Host, "localhost:" + at.Port(), "Pictures.example"}}
	o.Limits.Bytes = 4000
	s, h := start(t, o)
	for _, path := range []string{"/a.png", "/inside"} {
		for _, image := range []any{allowed.URL + path, object{"url": allowed.URL + path}} {
			if why := errorOf(t, h.URL, image); why != "" {
				t.Errorf("%v: %s", image, why)
			}
		}
	}
	port := secret.Listener.Addr().String()[strings.LastIndexByte(secret.Listener.Addr().String(), ':')+1:]
	for _, bad := range []string{
		allowed.URL + "/outside", allowed.URL + "/loop", allowed.URL + "/big", allowed.URL + "/endless", allowed.URL + "/nothing", secret.URL + "/a.png",
		"http://localhost:" + at.Port() + "/a.png", "http://127.0.0.1/a.png", "http://[::ffff:127.0.0.1]:" + port + "/", "http://u:p@" + at.Host + "/a.png",
		"http://2130706433:" + port + "/", "ftp://" + at.Host + "/a.png", "http://" + at.Host + "@127.0.0.1:" + port + "/", "http://pictures.example.evil.test/", "gopher://" + at.Host,
	} {
		if why := errorOf(t, h.URL, object{"url": bad}); why == "" {
			t.Errorf("%s was fetched", bad)
		}
	}
	if why := errorOf(t, h.URL, "http://localhost:"+at.Port()+"/a.png"); !strings.Contains(why, "no public address") {
		t.Errorf("localhost: %s", why)
	}
	if hits != 0 {
		t.Errorf("a host that is not allowed was asked %d times", hits)
	}
	for text, want := range map[string]bool{"http://pictures.EXAMPLE/x": true, "https://pictures.example./x": true, "https://pictures.example:8443/x": false, "http://pictures.example:443/": false} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.urls.check(u) == nil; got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, bad := range []string{"", "*", "http://x", "x/y", "a@b", "*.example"} {
		if _, err := parseHost(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if got := fmt.Sprint(s.memory.held.Load()); got != "0" {
		t.Errorf("%s bytes are still held", got)
	}
}
