package datasets_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"winnow/datasets"
)

// A set is read row by row; the loop decides what to do about rows that are broken.
func ExampleOpen() {
	path := filepath.Join(os.TempDir(), "winnow-example.jsonl")
	defer os.Remove(path)
	rows := `{"prompt":"a fox","images":["a.png","b.png","c.png"],"rank":[2,1,2]}
{"prompt":"an owl","images":["d.png","e.png","f.png"],"label":1}
`
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		log.Fatal(err)
	}
	r, err := datasets.Open(path, "", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for rec, err := range r.All() {
		var row *datasets.RowError
		if errors.As(err, &row) {
			fmt.Printf("line %d, column %s: %v\n", row.Line, row.Column, row.Err)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		for p := range rec.Pairs() {
			fmt.Println(rec.Prompt, rec.Images[p.A].Path, rec.Images[p.B].Path, p.Label)
		}
	}
	// Output:
	// a fox a.png b.png 0
	// a fox a.png c.png 0.5
	// a fox b.png c.png 1
	// line 2, column images: 3 pictures; a pair has 2
}
