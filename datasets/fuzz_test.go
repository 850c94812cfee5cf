package datasets

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// drain reads a file as every given format. It insists on typed errors, on an end, and on records that keep the type's
// promises.
func drain(t *testing.T, name string, data []byte, formats ...Format) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _ = Detect(path)
	for _, f := range formats {
		r, err := Open(path, f, nil)
		for rows := 0; err == nil; rows++ {
			var rec Record
			rec, err = r.Next()
			var row *RowError
			switch {
			case err == nil:
				promises(t, &rec)
			case errors.As(err, &row):
				if row.File != path || row.Line < 1 {
					t.Fatalf("%s: an error without a place: %+v", f, row)
				}
				err = nil
			}
			if rows > len(data)+1000 {
				t.Fatalf("%s: more rows than bytes", f)
			}
		}
		if r != nil {
			_ = r.Close()
		}
		var file *FileError
		if !errors.Is(err, io.EOF) && !errors.As(err, &file) {
			t.Fatalf("%s: untyped error %v", f, err)
		}
	}
}

func promises(t *testing.T, r *Record) {
	t.Helper()
	if r.Kind == KindPair && len(r.Images) != 2 || r.Kind == KindPrompt && len(r.Images) != 0 || r.Rank != nil && len(r.Rank) != len(r.Images) || r.Row < 1 {
		t.Fatalf("%+v", r)
	}
	for p := range r.Pairs() {
		if l := p.Label; l != 0 && l != 1 && l != 0.5 && l == l {
			t.Fatalf("label %v", l)
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(imageRewardSample))
	f.Add([]byte(`{"pairs":[{"pair_id":1,"prompt_content":[["text","p"]],"response_a":{"response_content":[["image","a"]]},"response_b":{"response_content":[["image","b"]]},"chosen":"A"}]}`))
	f.Add([]byte(`[{"prompt":"p","path1":"a","path2":"b","choice_dist":[1,2]},{"prompt":"p","file_path":["a","b"],"human_preference":[1,0]}]`))
	f.Add([]byte(`{"prompt":"p","images":["a",{"path":"b"}],"label":null}` + "\n" + `{"tag":"colors","include":[{"class":"c","count":1,"position":["x",0]}],"prompt":"p"}`))
	f.Add([]byte(`{"0":{"id":"0","prompt":"p","models":{"m":[1,2,5]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		drain(t, "a.json", data, "imagereward", "hpdv2", "hpdv2-train", "hpdv3", "evalmuse", "genai-bench", "genai-bench-ratings", "mmrb2", "prompts")
		drain(t, "a.jsonl", data, "jsonl", "geneval", "genai-bench", "prompts")
	})
}

func FuzzTables(f *testing.F) {
	f.Add([]byte("Prompt\tCategory\tChallenge\tNote\n\"a\tb\tc\t\n"))
	f.Add([]byte("Prompts,Category\n\"a,\n\"\"b\",c\nx\n"))
	f.Add([]byte("prompt,image_0,image_1,label,note\np,a,b,0.5,\"n\np,a,b,x,\n"))
	f.Add([]byte("item_id,text,proposition_id,dependency,question_natural_language\na,p,x,0,q\na,p,1,\"0,2\",q\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		drain(t, "a.tsv", data, "partiprompts")
		drain(t, "a.csv", data, "csv", "drawbench", "dpg-bench")
		drain(t, "a.txt", data, "prompts")
	})
}

func FuzzParquet(f *testing.F) {
	for _, name := range []string{"pickapic_plain", "pickapic", "pickapic_zstd_v2", "open_image_preferences", "imagerewarddb_group"} {
		data, err := os.ReadFile(golden(name + ".parquet"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		drain(t, "a.parquet", data, "pickapic", "open-image-preferences", "imagerewarddb", "genai-bench-parquet")
	})
}

func FuzzTar(f *testing.F) {
	f.Add(tarFile(f, "0.jpg", "zero", "0.txt", "a fox", "0.json", `{"a":1}`, "1.0.jpg", "x", "1.1.jpg", "y", "1.json", `{"text":"p","label":1}`))
	f.Fuzz(func(t *testing.T, data []byte) { drain(t, "a.tar", data, "webdataset") })
}
