// Package ledger keeps what judges answered and what that cost, in one SQLite file that several processes may use at once.
package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"winnow/internal/sqlitefile"
	"winnow/vlmjudge"
)

// schemaVersion changes when tables do; files of another version are refused.
const schemaVersion = 1

// application marks the file as ours: "wnju" in SQLite's application_id.
const application = 0x776e6a75

const schema = `
CREATE TABLE answer (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE call (
	id INTEGER PRIMARY KEY,
	time INTEGER NOT NULL, -- Unix, seconds
	url TEXT NOT NULL, model TEXT NOT NULL, template TEXT NOT NULL, protocol TEXT NOT NULL,
	pictures INTEGER NOT NULL, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, answer_tokens INTEGER NOT NULL,
	seconds REAL NOT NULL, money REAL NOT NULL, abstained INTEGER NOT NULL
);
`

// Book is a vlmjudge.Store in a file. The file is opened when it is first used.
type Book struct {
	path string
	mu   sync.Mutex
	db   *sql.DB
}

// At is the book in a file, which may not exist yet.
func At(path string) *Book { return &Book{path: path} }

func (b *Book) open(ctx context.Context) (*sql.DB, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.db != nil {
		return b.db, nil
	}
	if _, err := os.Stat(filepath.Dir(b.path)); err != nil {
		return nil, fmt.Errorf("answers of judges: %w", err)
	}
	db, err := sqlitefile.Open(ctx, b.path, sqlitefile.Kind{Application: application, Version: schemaVersion, Schema: schema})
	if err != nil {
		var unreadable *sqlitefile.UnreadableError
		var version *sqlitefile.VersionError
		if errors.As(err, &unreadable) || errors.As(err, &version) || errors.Is(err, sqlitefile.ErrForeign) {
			err = fmt.Errorf("%w; name another file", err)
		}
		return nil, b.wrap(err)
	}
	b.db = db
	return db, nil
}

func (b *Book) wrap(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("answers of judges %s: %w", b.path, err)
}

// Recall finds an answer.
func (b *Book) Recall(ctx context.Context, key string) (a vlmjudge.Answer, known bool, err error) {
	db, err := b.open(ctx)
	if err != nil {
		return a, false, err
	}
	var text string
	err = db.QueryRowContext(ctx, "SELECT answer FROM answer WHERE key = ?", key).Scan(&text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return a, false, nil
	case err == nil:
		err = json.Unmarshal([]byte(text), &a)
	}
	return a, err == nil, b.wrap(err)
}

// Keep enters what is to be recalled and what it cost, all or nothing.
func (b *Book) Keep(ctx context.Context, c vlmjudge.Call) error {
	db, err := b.open(ctx)
	if err != nil {
		return err
	}
	texts := make([]string, len(c.Kept))
	for i, k := range c.Kept {
		text, err := json.Marshal(k.Answer)
		if err != nil {
			return b.wrap(err)
		}
		texts[i] = string(text)
	}
	return b.wrap(sqlitefile.Transaction(ctx, db, func(tx *sql.Tx) error {
		for i, k := range c.Kept {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO answer (key, answer) VALUES (?, ?)", k.Key, texts[i]); err != nil {
				return err
			}
		}
		t := c.Answer.Tokens
		_, err := tx.ExecContext(ctx, `INSERT INTO call (time, url, model, template, protocol, pictures, requests, prompt_tokens, answer_tokens, seconds, money, abstained)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.Time.Unix(), c.URL, c.Model, c.Template, string(c.Answer.Protocol), c.Pictures, t.Requests, t.Prompt, t.Completion, c.Seconds, c.Money, c.Answer.Abstained)
		return err
	}))
}

// Close ends the use of the file.
func (b *Book) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.db == nil {
		return nil
	}
	err := b.db.Close()
	b.db = nil
	return b.wrap(err)
}

// Sum is what one judge was asked by one question.
type Sum struct {
	URL          string    `json:"url"`
	Model        string    `json:"model"`
	Template     string    `json:"template"`
	Protocol     string    `json:"protocol"`
	Questions    int       `json:"questions"`
	Abstained    int       `json:"abstained"`
	Requests     int       `json:"requests"`
	PromptTokens int       `json:"prompt_tokens"`
	AnswerTokens int       `json:"answer_tokens"`
	Seconds      float64   `json:"seconds"` // of all questions, one after the other
	Money        float64   `json:"money"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
}

// Sums adds up the calls of a file that exists, by judge and question.
func (b *Book) Sums(ctx context.Context) ([]Sum, error) {
	if _, err := os.Stat(b.path); err != nil {
		return nil, err
	}
	db, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT url, model, template, protocol, count(*), sum(abstained), sum(requests), sum(prompt_tokens), sum(answer_tokens), sum(seconds), sum(money), min(time), max(time)
		FROM call GROUP BY url, model, template, protocol ORDER BY url, model, template, protocol`)
	if err != nil {
		return nil, b.wrap(err)
	}
	defer rows.Close()
	var sums []Sum
	for rows.Next() {
		var s Sum
		var first, last int64
		if err := rows.Scan(&s.URL, &s.Model, &s.Template, &s.Protocol, &s.Questions, &s.Abstained, &s.Requests, &s.PromptTokens, &s.AnswerTokens, &s.Seconds, &s.Money, &first, &last); err != nil {
			return nil, b.wrap(err)
		}
		s.First, s.Last = time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC()
		sums = append(sums, s)
	}
	return sums, b.wrap(rows.Err())
}
