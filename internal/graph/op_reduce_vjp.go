package graph

// reduced is what the gradients of the Reduce family have in common. Cotangent and result have the rank of the input,
// with size 1 along the reduced axes, so that they broadcast against it.
type reduced struct {
	g, y ValueID
	axes []int
	n    int // elements that go into one result
}

func reduceVJP(b *Backward, r reduction) error {
	over, err := reduceAxes(b.NodeCtx, r)
	if err != nil {
		return err
	}
	at := reduced{n: 1}
	keep := append([]int{}, b.In[0].Shape...)
	for i, is := range over {
		if is {
			at.axes = append(at.axes, i)
			at.n *= keep[i]
			keep[i] = 1
		}
	}
	if b.In[0].Elems() == 0 {
		return nil
	}
	at.g, at.y = b.Reshape(b.G(0), keep...), b.Reshape(b.Y(0), keep...)
	b.Give(0, r.grad(b, &at))
	return nil
}

func reduceSumGrad(b *Backward, r *reduced) ValueID { return b.broadcastLike(r.g) }

func reduceMeanGrad(b *Backward, r *reduced) ValueID {
	return b.broadcastLike(b.Scale(r.g, 1/float64(r.n)))
}

func reduceSumSquareGrad(b *Backward, r *reduced) ValueID { return b.mul(b.Scale(r.g, 2), b.X(0)) }

func reduceL1Grad(b *Backward, r *reduced) ValueID { return b.mul(r.g, b.Op("Sign", b.X(0))) }

// reduceL2Grad is g·x/‖x‖, and 0 for a line of zeros.
func reduceL2Grad(b *Backward, r *reduced) ValueID {
	return b.mul(b.dropIf(b.Op("Equal", r.y, b.num(0)), b.div(r.g, r.y)), b.X(0))
}

// reduceLogSumGrad is g/Σx.
func reduceLogSumGrad(b *Backward, r *reduced) ValueID {
	return b.broadcastLike(b.div(r.g, b.Op("Exp", r.y)))
}

// reduceLogSumExpGrad is g·softmax(x).
func reduceLogSumExpGrad(b *Backward, r *reduced) ValueID {
	return b.mul(r.g, b.Op("Exp", b.sub(b.X(0), r.y)))
}

// reduceProdGrad is g times the product of the other elements, which takes care with zeros: a line with one zero passes
// everything to it, a line with more of them nothing.
func reduceProdGrad(b *Backward, r *reduced) ValueID {
	zero := b.Op("Equal", b.X(0), b.num(0))
	count := b.ReduceSum(b.indicator(zero), true, r.axes...)
	x := b.where(zero, b.num(1), b.X(0))
	p := b.mul(r.g, b.reduce("ReduceProd", 18, x, true, r.axes))
	toZero := b.keepIf(b.Op("Equal", count, b.num(1)), p)
	toOthers := b.keepIf(b.Op("Equal", count, b.num(0)), p)
	return b.where(zero, toZero, b.div(toOthers, x))
}

// reduceExtremeGrad goes to the elements that are the minimum or maximum, in equal parts when there are several.
func reduceExtremeGrad(b *Backward, r *reduced) ValueID {
	hit := b.indicator(b.Op("Equal", b.X(0), r.y))
	return b.mul(hit, b.div(r.g, b.ReduceSum(hit, true, r.axes...)))
}
