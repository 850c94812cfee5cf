package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// urls fetches pictures from the hosts that --allow-url names, and from nowhere else.
type urls struct {
	hosts  []host
	client *http.Client
	turns  chan struct{} // fetches at once
}

// host is one that may be asked: a name or an address, with the port that it was given with, or the usual ones.
type host struct{ name, port string }

const (
	fetchTimeout = 20 * time.Second
	fetchTurns   = 16
	maxRedirects = 3
)

func openURLs(list []string) (*urls, error) {
	u := &urls{turns: make(chan struct{}, fetchTurns)}
	for _, text := range list {
		h, err := parseHost(text)
		if err != nil {
			return nil, err
		}
		u.hosts = append(u.hosts, h)
	}
	u.client = &http.Client{
		Timeout: fetchTimeout,
		// No proxy: the addresses are checked where the connection is made, and a proxy would make another one behind it.
		Transport: &http.Transport{DialContext: u.dial, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: fetchTurns, IdleConnTimeout: time.Minute},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("too many redirects")
			}
			return u.check(r.URL)
		},
	}
	return u, nil
}

func parseHost(text string) (host, error) {
	u, err := url.Parse("//" + text)
	if err != nil || u.Hostname() == "" || u.Host != text || strings.ContainsAny(text, "*@") {
		return host{}, fmt.Errorf("allowed host %q: want HOST or HOST:PORT, without http:// and wildcards", text)
	}
	return host{canonical(u.Hostname()), u.Port()}, nil
}

// canonical writes a host so that two spellings of it are equal.
func canonical(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// check refuses an address that is not allowed, before anything is resolved.
func (u *urls) check(at *url.URL) error {
	port, usual := at.Port(), map[string]string{"http": "80", "https": "443"}[at.Scheme]
	if usual == "" {
		return errors.New("only http and https are fetched")
	}
	if at.User != nil {
		return errors.New("the address has a user name in it")
	}
	if port == "" {
		port = usual
	}
	for _, h := range u.hosts {
		if h.name == canonical(at.Hostname()) && (h.port == port || h.port == "" && port == usual) {
			return nil
		}
	}
	return fmt.Errorf("the host %q is not among those of --allow-url", at.Host)
}

// dial connects to public addresses only. It looks at the address that the connection is really made to, after the name was
// resolved, so a name that resolves to another address the second time gains nothing. An address that --allow-url names as such
// is what its user wants, be it private.
func (u *urls) dial(ctx context.Context, network, address string) (net.Conn, error) {
	named, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	literal, litErr := netip.ParseAddr(named)
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if litErr == nil && at.Addr().Unmap() == literal.Unmap() {
			return nil
		}
		if !public(at.Addr()) {
			return fmt.Errorf("the host resolves to %s, which is no public address", at.Addr())
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// reserved are the special-purpose blocks of IANA's registries that netip has no method for, and those in which an IPv4 address
// is hidden (NAT64, 6to4, Teredo).
var reserved = func() (out []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// public reports whether an address is one of the open internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// fetch gets a picture.
func (u *urls) fetch(ctx context.Context, text string, limit int64, l *lease) ([]byte, error) {
	if len(u.hosts) == 0 {
		return nil, errors.New("addresses are not opened by this server; send the image in base64, or start it with --allow-url HOST")
	}
	at, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the address cannot be read")
	}
	if err := u.check(at); err != nil {
		return nil, err
	}
	select {
	case u.turns <- struct{}{}:
		defer func() { <-u.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, text, nil)
	if err != nil {
		return nil, errors.New("the address cannot be read")
	}
	resp, err := u.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("%s: %w", at.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", at.Host, resp.StatusCode)
	}
	return readPicture(resp, at.Host, limit, l)
}

func readPicture(resp *http.Response, from string, limit int64, l *lease) ([]byte, error) {
	need := resp.ContentLength
	switch {
	case need > limit:
		return nil, fmt.Errorf("%s: the image has %d bytes, and the limit is %d", from, need, limit)
	case need < 0:
		need = limit
	}
	if err := l.take(need); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", from, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: the image has more than %d bytes", from, limit)
	}
	return data, nil
}

func (u *urls) close() { u.client.CloseIdleConnections() }
