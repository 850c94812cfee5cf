package scoring

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"winnow/internal/sqlitefile"
)

// schemaVersion changes when tables do; files of another version are refused.
const schemaVersion = 1

// application marks the file as ours: "wnsc" in SQLite's application_id.
const application = 0x776e7363

const schema = `
CREATE TABLE reward (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE);
CREATE TABLE score (
	reward  INTEGER NOT NULL REFERENCES reward(id),
	picture BLOB NOT NULL, -- SHA-256 of the encoded picture
	prompt  BLOB NOT NULL, -- SHA-256 of the text
	value   REAL NOT NULL,
	PRIMARY KEY (reward, picture, prompt)
) WITHOUT ROWID;
CREATE TABLE weights (path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL, sha256 BLOB NOT NULL);
`

// Store keeps scores by content: of the reward, of the encoded picture, of the prompt. It is one SQLite file that several
// processes may use at once; what Put has stored survives the death of the process.
type Store struct {
	path string
	db   *sql.DB
}

// Key is what a score belongs to, besides the reward.
type Key struct {
	Picture, Prompt [sha256.Size]byte
}

// OpenStore opens or creates the file.
func OpenStore(ctx context.Context, path string) (*Store, error) {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("score cache: %w", err)
	}
	db, err := sqlitefile.Open(ctx, path, sqlitefile.Kind{Application: application, Version: schemaVersion, Schema: schema})
	s := &Store{path, db}
	var unreadable *sqlitefile.UnreadableError
	var version *sqlitefile.VersionError
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &unreadable):
		err = fmt.Errorf("%w (name another file; this one is left as it is)", err)
	case errors.As(err, &version), errors.Is(err, sqlitefile.ErrForeign):
		err = fmt.Errorf("%w; name another file", err)
	}
	return nil, s.wrap(err)
}

func (s *Store) wrap(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("score cache %s: %w", s.path, err)
}

func (s *Store) transaction(ctx context.Context, work func(*sql.Tx) error) error {
	return sqlitefile.Transaction(ctx, s.db, work)
}

// Reward is the number of a reward in the store; identity is everything that its scores depend on.
func (s *Store) Reward(ctx context.Context, identity string) (id int64, err error) {
	err = s.transaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO reward (identity) VALUES (?)", identity); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT id FROM reward WHERE identity = ?", identity).Scan(&id)
	})
	return id, s.wrap(err)
}

// Get returns a score per key, NaN where there is none.
func (s *Store) Get(ctx context.Context, reward int64, keys []Key) ([]float64, error) {
	out := make([]float64, len(keys))
	query, err := s.db.PrepareContext(ctx, "SELECT value FROM score WHERE reward = ? AND picture = ? AND prompt = ?")
	if err != nil {
		return nil, s.wrap(err)
	}
	defer query.Close()
	for i, k := range keys {
		err := query.QueryRowContext(ctx, reward, k.Picture[:], k.Prompt[:]).Scan(&out[i])
		if errors.Is(err, sql.ErrNoRows) {
			out[i] = math.NaN()
			continue
		}
		if err != nil {
			return nil, s.wrap(err)
		}
	}
	return out, nil
}

// Put stores scores, all of them or none.
func (s *Store) Put(ctx context.Context, reward int64, keys []Key, values []float64) error {
	return s.wrap(s.transaction(ctx, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT OR IGNORE INTO score (reward, picture, prompt, value) VALUES (?, ?, ?, ?)")
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, k := range keys {
			if _, err := insert.ExecContext(ctx, reward, k.Picture[:], k.Prompt[:], values[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

// weights remembers the checksum of a file that has not changed since.
func (s *Store) weights(ctx context.Context, path string, size, modified int64, sum func() ([]byte, error)) (known []byte, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT sha256 FROM weights WHERE path = ? AND size = ? AND modified = ?", path, size, modified).Scan(&known)
	if !errors.Is(err, sql.ErrNoRows) {
		return known, s.wrap(err)
	}
	if known, err = sum(); err != nil {
		return nil, err
	}
	_, err = s.db.ExecContext(ctx, "INSERT OR REPLACE INTO weights (path, size, modified, sha256) VALUES (?, ?, ?, ?)", path, size, modified, known)
	return known, s.wrap(err)
}

// Len is the number of scores.
func (s *Store) Len(ctx context.Context) (n int, err error) {
	return n, s.wrap(s.db.QueryRowContext(ctx, "SELECT count(*) FROM score").Scan(&n))
}

// Close ends the use of the file.
func (s *Store) Close() error { return s.wrap(s.db.Close()) }
