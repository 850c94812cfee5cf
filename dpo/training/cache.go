package training

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"winnow/internal/sqlitefile"
)

// Key names an entry of a [Cache]: a hash of everything that its numbers depend on.
type Key [sha256.Size]byte

// keyOf hashes the parts, each with its length.
func keyOf(parts ...[]byte) Key {
	h := sha256.New()
	var word [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(word[:], uint64(len(p)))
		h.Write(word[:])
		h.Write(p)
	}
	return Key(h.Sum(nil))
}

// Cache keeps latents, text embeddings and errors of the reference by content, so that other runs on the same pictures, prompts and
// draws need not compute them again. It is one SQLite file that several runs may use at once.
type Cache struct {
	path     string
	db       *sql.DB
	get, put *sql.Stmt
	near     map[Key][]float32 // what was asked for lately
	size     int               // numbers in near
}

// cacheApplication marks the file as ours: "wntc" in SQLite's application_id.
const cacheApplication = 0x776e7463

// nearNumbers bounds what stays in memory: 256 MiB.
const nearNumbers = 64 << 20

// OpenCache opens or creates the file. "" keeps everything in memory.
func OpenCache(ctx context.Context, path string) (*Cache, error) {
	c := &Cache{path: path, near: map[Key][]float32{}}
	if path == "" {
		return c, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("training cache: %w", err)
	}
	db, err := sqlitefile.Open(ctx, path, sqlitefile.Kind{
		Application: cacheApplication, Schema: "CREATE TABLE entry (key BLOB PRIMARY KEY, numbers BLOB NOT NULL) WITHOUT ROWID",
	})
	if errors.Is(err, sqlitefile.ErrForeign) {
		err = fmt.Errorf("%w and left as it is", err)
	}
	if err != nil {
		return nil, c.wrap(err)
	}
	c.db = db
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(c.wrap(err), db.Close())
	}
	return c, nil
}

func (c *Cache) wrap(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var code *sqlite.Error
	cure := "check the file and its folder, or name another file with --cache"
	if errors.As(err, &code) {
		switch code.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
			cure = "make room on the disk, or name a file on another one with --cache; what is stored is kept"
		case sqlite3.SQLITE_CORRUPT:
			cure = "remove the file: it holds nothing that cannot be computed again"
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			cure = "another program holds it; wait for that, or name another file with --cache"
		case sqlite3.SQLITE_NOTADB:
			cure = "name another file with --cache; this one is left as it is"
		}
	}
	return fmt.Errorf("training cache %s: %w; %s", c.path, err, cure)
}

// prepare compiles the questions that are asked again and again.
func (c *Cache) prepare(ctx context.Context) (err error) {
	if c.get, err = c.db.PrepareContext(ctx, "SELECT numbers FROM entry WHERE key = ?"); err != nil {
		return err
	}
	c.put, err = c.db.PrepareContext(ctx, "INSERT OR REPLACE INTO entry (key, numbers) VALUES (?, ?)")
	return err
}

// Get finds an entry of n numbers; one of another length counts as missing. The caller must not change it.
func (c *Cache) Get(ctx context.Context, k Key, n int) ([]float32, bool, error) {
	if v, ok := c.near[k]; ok && len(v) == n {
		return v, true, nil
	}
	if c.db == nil {
		return nil, false, nil
	}
	var data []byte
	err := c.get.QueryRowContext(ctx, k[:]).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(data) != 4*n {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, c.wrap(err)
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	c.keep(k, v)
	return v, true, nil
}

// Put stores an entry. The slice must not be changed afterwards.
func (c *Cache) Put(ctx context.Context, k Key, v []float32) error {
	c.keep(k, v)
	if c.db == nil {
		return nil
	}
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	_, err := c.put.ExecContext(ctx, k[:], data)
	return c.wrap(err)
}

// keep holds an entry in memory. What cannot be had from a file again is never given up.
func (c *Cache) keep(k Key, v []float32) {
	if c.db != nil && c.size+len(v) > nearNumbers {
		clear(c.near)
		c.size = 0
	}
	c.near[k] = v
	c.size += len(v)
}

// Batch makes all that work stores one transaction.
func (c *Cache) Batch(ctx context.Context, work func() error) error {
	if c.db == nil {
		return work()
	}
	if _, err := c.db.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return c.wrap(err)
	}
	err := work()
	end := "COMMIT"
	if err != nil {
		end = "ROLLBACK"
	}
	_, endErr := c.db.ExecContext(context.WithoutCancel(ctx), end)
	return errors.Join(err, c.wrap(endErr))
}

// Close closes the file.
func (c *Cache) Close() error {
	if c.db == nil {
		return nil
	}
	return c.wrap(c.db.Close())
}
