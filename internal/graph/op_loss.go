package graph

func init() {
	Register(Operator{Name: "NegativeLogLikelihoodLoss", Since: 12, Lower: lowerNLLLoss})
	Register(Operator{Name: "SoftmaxCrossEntropyLoss", Since: 12, Lower: lowerCrossEntropy})
}

// lowerNLLLoss is -weight[t]·x[n,t,…] for x [N,C,…], targets [N,…] and weight [C].
func lowerNLLLoss(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 1); err != nil {
		return err
	}
	loss, err := l.likelihoodLoss(l.Arg(0))
	l.Result(0, loss)
	return err
}

// lowerCrossEntropy is the loss of log(softmax(scores)), its second result.
func lowerCrossEntropy(l *Lowering) error {
	if err := checkArity(l.NodeCtx, 2, 3, 1, 2); err != nil {
		return err
	}
	if err := checkRank(l.NodeCtx, 0, 2, maxRank); err != nil {
		return err
	}
	logits := l.OpA("LogSoftmax", map[string]Attr{"axis": IntAttr(1)}, l.Arg(0))
	loss, err := l.likelihoodLoss(logits)
	l.Result(0, loss)
	l.Result(1, logits)
	return err
}

// likelihoodLoss picks and weighs the targets' entries of x, and reduces them.
func (l *Lowering) likelihoodLoss(x ValueID) (ValueID, error) {
	if err := l.checkLoss(); err != nil {
		return None, err
	}
	dt, target := l.In[0].DType, l.Arg(1)
	shape := l.In[1].Shape
	skip := None
	if a, ok := l.Attr("ignore_index"); ok && a.Kind == AttrInt {
		skip = l.Op("Equal", target, l.As(l.Ints(int(a.I)), l.In[1].DType))
		target = l.Op("Where", skip, l.As(l.Ints(0), l.In[1].DType), target)
	}
	column := append([]int{shape[0], 1}, shape[1:]...)
	picked := l.OpA("GatherElements", map[string]Attr{"axis": IntAttr(1)}, x, l.Reshape(target, column...))
	loss := l.Op("Neg", l.Reshape(picked, shape...))
	weight := None
	if l.Has(2) {
		weight = l.Op("Gather", l.Arg(2), target)
	} else if skip != None {
		weight = l.Op("Expand", l.number(dt, 1), l.Ints(shape...))
	}
	if skip != None {
		weight = l.Op("Where", skip, l.number(dt, 0), weight)
	}
	if weight != None {
		loss = l.Op("Mul", loss, weight)
	}
	whole := map[string]Attr{"keepdims": IntAttr(0)}
	switch reduction := l.AttrString("reduction", "mean"); {
	case reduction == "none":
		return loss, nil
	case reduction == "sum":
		return l.OpA("ReduceSum", whole, loss), nil
	case reduction != "mean":
		return None, l.Refuse("reduction", "want none, sum or mean, not "+reduction)
	case weight == None:
		return l.OpA("ReduceMean", whole, loss), nil
	}
	return l.Op("Div", l.OpA("ReduceSum", whole, loss), l.OpA("ReduceSum", whole, weight)), nil
}

// checkLoss compares scores [N,C,…], targets [N,…] and weights [C].
func (l *Lowering) checkLoss() error {
	if err := checkRank(l.NodeCtx, 0, 2, maxRank); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 0, classFloat); err != nil {
		return err
	}
	if err := checkClass(l.NodeCtx, 1, classInt); err != nil {
		return err
	}
	x := l.In[0].Shape
	if err := checkShape(l.NodeCtx, 1, append([]int{x[0]}, x[2:]...)...); err != nil {
		return err
	}
	return checkShape(l.NodeCtx, 2, x[1])
}
