package optim

import (
	"fmt"
	"math"
	"strings"
)

// Schedule is the factor of the learning rate for the step'th update, counted from 0.
type Schedule func(step int) float64

// ScheduleOptions are the constants of some schedules.
type ScheduleOptions struct {
	NumCycles int     // restarts of cosine_with_restarts; 0 means 1
	Power     float64 // exponent of polynomial; 0 means 1
	LR, LREnd float64 // polynomial: the learning rate that the factor multiplies, and where it ends; 0 means 1e-7 for the latter
}

// ScheduleNames lists the schedules that NewSchedule knows.
func ScheduleNames() []string {
	return []string{"constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"}
}

// NewSchedule makes a schedule by the name that diffusers' get_scheduler gives it (diffusers/optimization.py): after warmup updates in
// which the factor rises linearly from 0, and so the first update with a warm-up is one of rate 0, it is
//
//	constant, constant_with_warmup   1 (constant has no warm-up)
//	linear                           1 − x, with x the share of the updates from warmup to total that is done
//	cosine                           (1 + cos πx)/2
//	cosine_with_restarts             (1 + cos π(NumCycles·x mod 1))/2, and 0 from total on
//	polynomial                       ((LR − LREnd)·(1 − x)^Power + LREnd)/LR, and LREnd/LR from total on
func NewSchedule(name string, warmup, total int, o ScheduleOptions) (Schedule, error) {
	if warmup < 0 || total < 0 || o.NumCycles < 0 || o.Power < 0 {
		return nil, fmt.Errorf("schedule %s: warm-up %d, total %d, cycles %d and power %v must not be negative",
			name, warmup, total, o.NumCycles, o.Power)
	}
	var after func(x float64) float64
	switch name {
	case "constant":
		return func(int) float64 { return 1 }, nil
	case "constant_with_warmup":
		after = func(float64) float64 { return 1 }
	case "linear":
		after = func(x float64) float64 { return max(0, 1-x) }
	case "cosine":
		after = func(x float64) float64 { return max(0, (1+math.Cos(math.Pi*x))/2) }
	case "cosine_with_restarts":
		after = restarts(float64(max(o.NumCycles, 1)))
	case "polynomial":
		var err error
		if after, err = polynomial(o); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("schedule %q is unknown; there are %s", name, strings.Join(ScheduleNames(), ", "))
	}
	return func(step int) float64 {
		if step < warmup {
			return float64(max(step, 0)) / float64(warmup)
		}
		if (name == "linear" || name == "polynomial") && step >= total { // matters where the warm-up is no shorter than the run
			return after(1)
		}
		return after(float64(step-warmup) / float64(max(1, total-warmup)))
	}, nil
}

func restarts(cycles float64) func(x float64) float64 {
	return func(x float64) float64 {
		if x >= 1 {
			return 0
		}
		return max(0, (1+math.Cos(math.Pi*math.Mod(cycles*x, 1)))/2)
	}
}

func polynomial(o ScheduleOptions) (func(x float64) float64, error) {
	if o.Power == 0 {
		o.Power = 1
	}
	if o.LREnd == 0 {
		o.LREnd = 1e-7
	}
	if !(o.LR > o.LREnd) || o.LREnd < 0 {
		return nil, fmt.Errorf("schedule polynomial: the learning rate %v must be above its end, %v: set lr_end lower", o.LR, o.LREnd)
	}
	return func(x float64) float64 {
		return ((o.LR-o.LREnd)*math.Pow(1-min(x, 1), o.Power) + o.LREnd) / o.LR
	}, nil
}
