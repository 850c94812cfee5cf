package training

import (
	"slices"
	"testing"
)

// Every epoch holds each pair once, batches are full and of one size, and any batch can be asked for at any time.
func TestOrder(t *testing.T) {
	bucketOf := make([]int, 103)
	for i := range bucketOf {
		bucketOf[i] = i % 7 / 5 // 74 of one size, 29 of another
	}
	o := newOrder(3, 8, bucketOf)
	if n := o.perEpoch(); n != 10+4 {
		t.Fatalf("%d batches an epoch", n)
	}
	var first [][]int
	for i := range 28 {
		b, epoch := o.pick(i)
		if len(b) != 8 || epoch != i/14 {
			t.Fatalf("batch %d: %v in epoch %d", i, b, epoch)
		}
		for _, p := range b {
			if bucketOf[p] != bucketOf[b[0]] {
				t.Errorf("batch %d mixes sizes", i)
			}
		}
		first = append(first, slices.Clone(b))
	}
	for epoch := range 2 {
		seen := map[int]int{}
		for _, b := range first[14*epoch : 14*epoch+14] {
			for _, p := range b {
				seen[p]++
			}
		}
		repeats := 0
		for p := range bucketOf {
			if seen[p] == 0 {
				t.Errorf("epoch %d leaves out pair %d", epoch, p)
			}
			repeats += seen[p] - 1
		}
		if repeats != 14*8-103 {
			t.Errorf("epoch %d repeats %d pairs", epoch, repeats)
		}
	}
	if slices.EqualFunc(first[:14], first[14:], slices.Equal) {
		t.Error("epochs are in one order")
	}
	again := newOrder(3, 8, bucketOf)
	for _, i := range []int{27, 3, 14, 0} {
		if b, _ := again.pick(i); !slices.Equal(b, first[i]) {
			t.Errorf("batch %d depends on what was asked for before", i)
		}
	}
	if b, _ := newOrder(4, 8, bucketOf).pick(0); slices.Equal(b, first[0]) {
		t.Error("the seed changes nothing")
	}
}

// A handful of pairs fills batches that are larger.
func TestOrder_few(t *testing.T) {
	b, _ := newOrder(1, 8, []int{0, 0, 0}).pick(0)
	count := map[int]int{}
	for _, p := range b {
		count[p]++
	}
	if len(b) != 8 || len(count) != 3 || count[0] < 2 || count[1] < 2 || count[2] < 2 {
		t.Errorf("batch %v", b)
	}
}

func TestBuckets(t *testing.T) {
	sizes := buckets(Size{512, 512}, 64)
	for _, s := range sizes {
		if s.Width%64 != 0 || s.Height%64 != 0 || s.Width*s.Height > 512*512 || max(s.Width, s.Height) > 2*min(s.Width, s.Height) {
			t.Errorf("size %v", s)
		}
		if !slices.Contains(sizes, Size{s.Height, s.Width}) {
			t.Errorf("%v has no counterpart", s)
		}
	}
	for _, c := range []struct {
		w, h int
		want Size
	}{{1000, 1000, Size{512, 512}}, {1920, 1080, Size{640, 384}}, {1080, 1920, Size{384, 640}}, {100, 3000, Size{320, 640}}, {768, 512, Size{576, 384}}} {
		got := sizes[bucketFor(sizes, c.w, c.h)]
		best := 1e9
		for _, s := range sizes {
			best = min(best, ratio(s.Width, s.Height, c.w, c.h))
		}
		if r := ratio(got.Width, got.Height, c.w, c.h); r > best+1e-9 {
			t.Errorf("%d×%d goes to %v, off by %.3f; the nearest is off by %.3f", c.w, c.h, got, r, best)
		}
	}
	if got := buckets(Size{64, 64}, 8); !slices.Contains(got, Size{64, 64}) || len(got) < 5 {
		t.Errorf("small sizes %v", got)
	}
}

// ratio is how much larger the one aspect ratio is than the other.
func ratio(w, h, w2, h2 int) float64 {
	a, b := float64(w)/float64(h), float64(w2)/float64(h2)
	return max(a/b, b/a)
}
