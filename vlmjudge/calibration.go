package vlmjudge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Calibration brings a judge's probabilities about pairs to what people say: each answer P of what is shown first becomes
// σ(Scale·logit(P) + Shift). Scale is one over a temperature; Shift takes out a preference for a place. It belongs to one judge, asked
// in one way.
type Calibration struct {
	Method string  `json:"method"` // "temperature" or "platt"; for people
	Scale  float64 `json:"scale"`  // above 0
	Shift  float64 `json:"shift"`  // in log-odds

	URL         string   `json:"url"` // where the judge was asked; for people
	Model       string   `json:"model"`
	Template    Template `json:"template"` // of the question about pairs
	Protocol    Protocol `json:"protocol"`
	Votes       int      `json:"votes,omitempty"`
	PixelBudget int      `json:"pixel_budget,omitempty"`
	Family      string   `json:"family,omitempty"`

	// Report is how good the fit is, as whoever made it says.
	Report json.RawMessage `json:"report,omitempty"`
}

// CalibrationOf is a calibration for this judge that changes nothing.
func CalibrationOf(j *Judge) Calibration {
	info := j.Info()
	return Calibration{
		Scale: 1, URL: info.URL, Model: servedOr(info), Template: info.Templates[0], Protocol: info.Protocol, Votes: info.Votes,
		PixelBudget: info.PixelBudget, Family: info.Family,
	}
}

func servedOr(info Info) string {
	if info.ServedModel != "" {
		return info.ServedModel
	}
	return info.Model
}

// Apply calibrates the probability of what is shown first.
func (c *Calibration) Apply(p float64) float64 { return sigmoid(c.Scale*Logit(p) + c.Shift) }

// ReadCalibration reads the JSON of a Calibration.
func ReadCalibration(data []byte) (*Calibration, error) {
	var c Calibration
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("is no calibration: %w", err)
	}
	if !(c.Scale > 0) || math.IsInf(c.Scale, 1) || math.IsNaN(c.Shift) || math.IsInf(c.Shift, 0) {
		return nil, fmt.Errorf("is no calibration: scale %v, shift %v; want a scale above 0", c.Scale, c.Shift)
	}
	if c.Template.SHA256 == "" || c.Protocol == "" {
		return nil, errors.New("is no calibration: it does not say of which question and protocol")
	}
	return &c, nil
}

// fits refuses a calibration of another judge, or of one asked otherwise.
func (c *Calibration) fits(j *Judge) error {
	is := CalibrationOf(j)
	for _, v := range []struct {
		what      string
		want, got any
	}{
		{"model", c.Model, is.Model},
		{"question", c.Template, is.Template},
		{"protocol", c.Protocol, is.Protocol},
		{"number of votes", c.Votes, is.Votes},
		{"pixel budget", c.PixelBudget, is.PixelBudget},
		{"family of models", c.Family, is.Family},
	} {
		if v.want != v.got {
			return fmt.Errorf("vlmjudge: the calibration is of another judge: %s %v, and this one's is %v; calibrate again", v.what, v.want, v.got)
		}
	}
	return nil
}

// calibrate changes an answer about a pair. An answer that decides nothing stays.
func (j *Judge) calibrate(a *Answer) {
	if c := j.keeping.Calibration; c != nil && !a.Abstained {
		a.P = c.Apply(a.P)
		a.Formula += fmt.Sprintf("; calibrated: sigmoid(%.4g·logit %+.4g)", c.Scale, c.Shift)
	}
}
