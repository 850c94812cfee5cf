// Package sqlitefile opens SQLite files that are caches of ours: several processes may use one at once, each may be killed at any
// point, and a database of something else is never touched.
package sqlitefile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Kind tells files of one purpose from all others.
type Kind struct {
	Application int    // SQLite's application_id
	Version     int    // of the tables, SQLite's user_version
	Schema      string // makes the tables of a new file
}

// ErrForeign says that a file is a database of something else.
var ErrForeign = errors.New("is a database of something else")

// VersionError says that a file's tables are of another version.
type VersionError struct{ Have, Want int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("is of version %d, this winnow writes %d", e.Have, e.Want)
}

// UnreadableError says that a file could not even be asked what it is.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// Open opens or creates the file, with one connection. Errors are of SQLite, of this package, or of the context; none names the file.
func Open(ctx context.Context, path string, k Kind) (*sql.DB, error) {
	// immediate: a transaction that will write waits for its turn at the start, where waiting is possible.
	opt := url.Values{"_pragma": {"busy_timeout(30000)", "journal_mode(WAL)", "synchronous(NORMAL)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: opt.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := Transaction(ctx, db, func(tx *sql.Tx) error { return k.prepare(ctx, tx) }); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare makes the tables of a new file and checks an old one, all in one transaction.
func (k Kind) prepare(ctx context.Context, tx *sql.Tx) error {
	var application, version, tables int
	if err := tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return &UnreadableError{err}
	}
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return err
	}
	switch {
	case application == k.Application && version == k.Version:
		return nil
	case application == k.Application:
		return &VersionError{version, k.Version}
	case tables > 0 || application != 0:
		return ErrForeign
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("%s; PRAGMA application_id=%d; PRAGMA user_version=%d", k.Schema, k.Application, k.Version))
	return err
}

// Transaction commits what work does, or nothing of it.
func Transaction(ctx context.Context, db *sql.DB, work func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		_ = tx.Rollback() // the first error says what happened
		return err
	}
	return tx.Commit()
}
