package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestHPDv2_test(t *testing.T) {
	path := writeTemp(t, "test.json", `[
 {"prompt":"a fox","image_path":["1.jpg","2.jpg","3.jpg"],"rank":[1.5,3,1.5],
  "raw_annotations":[{"rank":[1,3,2],"user_hash":"u1"},{"rank":[2,3,1],"user_hash":"u2"}]},
 {"prompt":"a fox","image_path":["1.jpg","2.jpg"],"rank":[1,2],"raw_annotations":[{"rank":[1],"user_hash":"u1"}]},
 {"prompt":"an owl","image_path":["4.jpg"],"rank":[1]}
]`)
	folder := filepath.Join(filepath.Dir(path), "test")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "2.jpg"), []byte("picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, broken := readAll(t, path, "", nil)
	if len(all) != 2 || len(broken) != 1 || broken[0].Line != 2 || broken[0].Column != "raw_annotations" {
		t.Fatalf("%d records, broken %v", len(all), broken)
	}
	fox := all[0]
	if !slices.Equal(fox.Rank, []float64{1.5, 3, 1.5}) || len(fox.Votes) != 2 || fox.Votes[1].User != "u2" || !slices.Equal(fox.Votes[1].Rank, []float64{2, 3, 1}) {
		t.Errorf("%+v", fox)
	}
	if fox.Images[0].Present() || !fox.Images[1].Present() {
		t.Error("the folder beside the file was not searched")
	}
	if data, err := fox.Images[1].Bytes(); err != nil || string(data) != "picture" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestHPDv2_train(t *testing.T) {
	path := writeTemp(t, "train.json", `[
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"],"human_preference":[1,0]},
 {"prompt":"a fox","image_path":["1.jpg","2.jpg"],"human_preference":[0,1]},
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"],"human_preference":[1,1]},
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"],"human_preference":[3,1]},
 {"prompt":"a fox","file_path":["1.jpg"],"human_preference":[1,0]},
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"],"human_preference":[0,0]},
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"],"human_preference":[null,1]},
 {"prompt":"a fox","file_path":["1.jpg","2.jpg"]},
 7
]`)
	all, broken := readAll(t, path, "", nil)
	var labels, soft []float64
	for _, r := range all {
		labels, soft = append(labels, r.Label), append(soft, r.Soft)
	}
	if !slices.Equal(labels, []float64{1, 0, 0.5, 1}) || !slices.Equal(soft, []float64{1, 0, 0.5, 0.75}) {
		t.Errorf("labels %v, soft %v", labels, soft)
	}
	var columns []string
	for _, b := range broken {
		columns = append(columns, b.Column)
	}
	if !slices.Equal(columns, []string{"file_path", "human_preference", "human_preference", "human_preference", ""}) {
		t.Errorf("broken rows %v", broken)
	}
}
