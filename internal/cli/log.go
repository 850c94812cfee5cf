package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// logger shows warnings of the packages below as lines for people: "winnow: message (key value, …)"; with --verbose, notes too.
func (a *app) logger() *slog.Logger { return slog.New(lines{app: a}) }

// lines is a slog.Handler over app.warn. Groups are not used by the packages below.
type lines struct {
	app   *app
	attrs []slog.Attr
}

func (l lines) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || l.app.verbose && level >= slog.LevelInfo
}

func (l lines) Handle(_ context.Context, r slog.Record) error {
	parts := make([]string, 0, len(l.attrs)+r.NumAttrs())
	add := func(attr slog.Attr) bool {
		parts = append(parts, fmt.Sprintf("%s %q", attr.Key, attr.Value.String()))
		return true
	}
	for _, attr := range l.attrs {
		add(attr)
	}
	r.Attrs(add)
	message := r.Message
	if len(parts) > 0 {
		message += " (" + strings.Join(parts, ", ") + ")"
	}
	l.app.warn("%s", message)
	return nil
}

func (l lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	l.attrs = append(append([]slog.Attr(nil), l.attrs...), attrs...)
	return l
}

func (l lines) WithGroup(string) slog.Handler { return l }
