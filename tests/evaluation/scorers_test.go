package evaluation

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"testing"
)

// comparison is what two scorers must be to each other; of the ends and of p it says between which numbers they lie.
type comparison struct {
	Pairs      int         `json:"pairs"`
	Prompts    int         `json:"prompts"`
	AccuracyA  *float64    `json:"accuracy_a"`
	AccuracyB  *float64    `json:"accuracy_b"`
	Difference *float64    `json:"difference"`
	Low        *[2]float64 `json:"low"`
	High       *[2]float64 `json:"high"`
	P          *[2]float64 `json:"p"`
	OnlyA      int         `json:"only_a"`
	OnlyB      int         `json:"only_b"`
	McNemar    *float64    `json:"mcnemar_p"`
}

// comparisonLine is what the command prints of it. The names that other lines have, too, are read there.
type comparisonLine struct {
	A          string   `json:"a"`
	B          string   `json:"b"`
	Prompts    int      `json:"prompts"`
	AccuracyA  *float64 `json:"accuracy_a"`
	AccuracyB  *float64 `json:"accuracy_b"`
	Difference *float64 `json:"difference"`
	Low        *float64 `json:"low"`
	High       *float64 `json:"high"`
	P          *float64 `json:"p"`
	OnlyA      int      `json:"only_a"`
	OnlyB      int      `json:"only_b"`
	McNemar    *float64 `json:"mcnemar_p"`
}

// counted says whether a count of pairs in JSON is the one wanted.
func counted[T any](t *testing.T, got json.RawMessage, want T) {
	t.Helper()
	var have T
	if err := json.Unmarshal(got, &have); err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("pairs %s, want %v", got, want)
	}
}

func (w *comparison) check(t *testing.T, got printed, scorers []string) {
	t.Helper()
	counted(t, got.PairCount, w.Pairs)
	if got.A != scorers[0] || got.B != scorers[1] {
		t.Errorf("%q is compared with %q", got.A, got.B)
	}
	if got.Prompts != w.Prompts || got.OnlyA != w.OnlyA || got.OnlyB != w.OnlyB {
		t.Errorf("compared over %d prompts, %d and %d right alone; want %d, %d, %d",
			got.Prompts, got.OnlyA, got.OnlyB, w.Prompts, w.OnlyA, w.OnlyB)
	}
	for _, problem := range []string{
		equal("accuracy of a", got.AccuracyA, w.AccuracyA),
		equal("accuracy of b", got.AccuracyB, w.AccuracyB),
		equal("difference", got.Difference, w.Difference),
		equal("McNemar's p", got.McNemar, w.McNemar),
		within("low end", got.Low, w.Low),
		within("high end", got.High, w.High),
		within("p", got.P, w.P),
	} {
		if problem != "" {
			t.Errorf("comparison: %s", problem)
		}
	}
}

// agreement is a matrix over the scorers and the people.
type agreement struct {
	Names []string     `json:"names"`
	Share [][]*float64 `json:"share"`
}

func (w *agreement) check(t *testing.T, got printed, pairs [][]int, scorers []string) {
	t.Helper()
	counted(t, got.PairCount, pairs)
	if names := append(slices.Clone(scorers), "human"); !slices.Equal(got.Names, names) || len(got.Share) != len(names) {
		t.Fatalf("agreement of %q, want %q", got.Names, names)
	}
	for i, row := range w.Share {
		for j, want := range row {
			if problem := equal("share", got.Share[i][j], want); problem != "" {
				t.Errorf("agreement of %s and %s: %s", got.Names[i], got.Names[j], problem)
			}
		}
	}
}

// calibration is what margins are worth as probabilities.
type calibration struct {
	Temperature float64 `json:"temperature"`
	ECE         float64 `json:"ece"`
	Brier       float64 `json:"brier"`
	LogLoss     float64 `json:"log_loss"`
	Pairs       int     `json:"pairs"`
	Curve       []struct {
		Pairs int `json:"pairs"`
	} `json:"curve"`
}

// fitted is how far figures may lie apart, as a share, that rest on a temperature: two root finders stop at different places.
const fitted = 1e-9

func (w *calibration) check(t *testing.T, line printed) {
	t.Helper()
	got := line.Calibration
	if got == nil || w == nil {
		if got != w {
			t.Errorf("%s: calibration %+v, want %+v", line.Scorer, got, w)
		}
		return
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= fitted*max(1, math.Abs(b)) }
	if !near(got.Temperature, w.Temperature) || !near(got.ECE, w.ECE) || !near(got.Brier, w.Brier) || !near(got.LogLoss, w.LogLoss) || got.Pairs != w.Pairs {
		t.Errorf("%s: calibration %+v, want %+v", line.Scorer, got, w)
	}
	sum := 0
	for _, b := range got.Curve {
		sum += b.Pairs
	}
	if sum != w.Pairs {
		t.Errorf("%s: %d pairs in the curve, want %d", line.Scorer, sum, w.Pairs)
	}
}
