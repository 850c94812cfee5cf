package sampling

import (
	"reflect"
	"strings"
	"testing"
)

func TestSearchInfo_With(t *testing.T) {
	pcn, err := FindSearch("pcn")
	if err != nil {
		t.Fatal(err)
	}
	other, err := pcn.With("beta=0.25", "burn-in=7", "last=true")
	if err != nil {
		t.Fatal(err)
	}
	want := PCNOptions{ChainOptions: ChainOptions{Beta: 0.25, Last: true}, BurnIn: 7}
	if !reflect.DeepEqual(other.options, want) {
		t.Errorf("options are %+v, want %+v", other.options, want)
	}
	if !reflect.DeepEqual(pcn.options, PCNOptions{}) {
		t.Error("the defaults have changed")
	}
	smc, _ := FindSearch("smc")
	smc, err = smc.With("checks=0.25,0.5", "potential=max")
	if o := smc.options.(SMCOptions); err != nil || !reflect.DeepEqual(o.Checks, []float64{0.25, 0.5}) || o.Potential != PotentialMax {
		t.Errorf("options are %+v, error %v", smc.options, err)
	}
}

func TestSearchInfo_With_errors(t *testing.T) {
	smc, _ := FindSearch("smc")
	for setting, want := range map[string]string{
		"particles":      "want name=value",
		"particle=4":     `no setting "particle"; it has particles, temperature, potential, checks, threshold, gamma`,
		"particles=four": "want a whole number",
		"checks=0.2,":    "want a list of numbers",
		"on-end=x":       "no setting",
	} {
		if _, err := smc.With(setting); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", setting, err, want)
		}
	}
	random, _ := FindSearch("random")
	if _, err := random.With("n=4"); err == nil || !strings.Contains(err.Error(), "it has none") {
		t.Errorf("error %v", err)
	}
}

// Every method lists its settings and takes them back.
func TestSearchInfo_Settings(t *testing.T) {
	for _, info := range SearchMethods() {
		for _, s := range info.Settings() {
			if s.Kind == "" || s.Name != strings.ToLower(s.Name) {
				t.Errorf("%s: setting %+v", info.Name, s)
			}
			if s.Value == "" {
				continue
			}
			if other, err := info.With(s.Name + "=" + s.Value); err != nil || !reflect.DeepEqual(other.options, info.options) {
				t.Errorf("%s: %s=%s gives %+v, error %v", info.Name, s.Name, s.Value, other.options, err)
			}
		}
	}
}
