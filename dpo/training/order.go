package training

import "sort"

// order says which pairs each batch of a run holds. In every epoch each pair comes once, shuffled; batches hold pictures of one size,
// and what is left over of a size is joined by the first of its own pairs again, so that all batches are equally large.
type order struct {
	seed    uint64
	batch   int
	buckets [][]int // places of pairs, by size of picture
	epoch   [][]int // batches of the epoch that was asked for last
	at      int     // that epoch, -1 before the first
}

// newOrder groups pairs by the bucket that each belongs to.
func newOrder(seed uint64, batch int, bucketOf []int) *order {
	all := make([]int, len(bucketOf))
	for i := range all {
		all[i] = i
	}
	return newOrderOf(seed, batch, bucketOf, all)
}

// newOrderOf is newOrder for some of the pairs.
func newOrderOf(seed uint64, batch int, bucketOf, some []int) *order {
	groups := map[int][]int{}
	for _, i := range some {
		groups[bucketOf[i]] = append(groups[bucketOf[i]], i)
	}
	names := make([]int, 0, len(groups))
	for b := range groups {
		names = append(names, b)
	}
	sort.Ints(names)
	o := &order{seed: seed, batch: batch, at: -1}
	for _, b := range names {
		o.buckets = append(o.buckets, groups[b])
	}
	return o
}

// perEpoch is the number of batches of an epoch.
func (o *order) perEpoch() int {
	n := 0
	for _, b := range o.buckets {
		n += (len(b) + o.batch - 1) / o.batch
	}
	return n
}

// pick gives the pairs of the i'th batch of a run, and its epoch.
func (o *order) pick(i int) (pairs []int, epoch int) {
	n := o.perEpoch()
	if epoch = i / n; epoch != o.at {
		o.shuffle(epoch)
	}
	return o.epoch[i%n], epoch
}

func (o *order) shuffle(epoch int) {
	r := stream(o.seed, "order", nil, epoch)
	o.epoch, o.at = nil, epoch
	for _, b := range o.buckets {
		perm := r.Perm(len(b))
		for len(perm)%o.batch != 0 {
			perm = append(perm, perm[len(perm)%len(b)])
		}
		for first := 0; first < len(perm); first += o.batch {
			group := make([]int, o.batch)
			for k := range group {
				group[k] = b[perm[first+k]]
			}
			o.epoch = append(o.epoch, group)
		}
	}
	r.Shuffle(len(o.epoch), func(i, j int) { o.epoch[i], o.epoch[j] = o.epoch[j], o.epoch[i] })
}
